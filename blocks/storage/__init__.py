"""Object stores (obs://), NAS mounts (nas://) and this machine's folders (file://), behind one `Storage`."""

from blocks.storage.endpoints import Endpoint
from blocks.storage.location import DERIVED_LIMIT, Location, parse
from blocks.storage.storage import Storage
from blocks.storage.store import Entry, Progress, Transfer

__all__ = ["DERIVED_LIMIT", "Endpoint", "Entry", "Location", "Progress", "Storage", "Transfer", "parse"]
