"""Long listings of what a training reads."""

from collections.abc import Iterator

from blocks.storage.location import parse
from blocks.storage.store import Entry
from flows.training.instances.instance import Instance

LISTED_AT_ONCE = 1000


def listed(instance: Instance, what: str, path: str) -> Iterator[Entry]:
    """Yield what lies at a path; a listing of millions tells how far it is, and can be stopped."""
    for count, entry in enumerate(instance.storage.entries(parse(path))):
        if count % LISTED_AT_ONCE == 0:
            instance.go_on()
            instance.door.progress = f"listing {what}: {count} files so far"
        yield entry
