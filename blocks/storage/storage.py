"""`Storage`: every place that paths can name, behind one object; what flows and instances use."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from blocks.settings import Settings
from blocks.storage.endpoints import Endpoint, configured
from blocks.storage.errors import BadPath, Refused, UnknownEndpoint
from blocks.storage.folder import FolderStore
from blocks.storage.location import Location
from blocks.storage.store import READ_LIMIT, Entry, Progress, Store, Transfer


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    endpoints: dict[str, Endpoint] = {}
    nas: dict[str, Path] = {}
    closed: list[Path] = []


class Storage:
    """Object stores, mounts and this machine's disk; each operation goes to the one that the location names.

    Args:
        endpoints: object stores by what users write after obs:// (with or without /v1/AUTH_…).
        nas: folders by the NAS id or address that users write after nas://.
        closed: folders that no path of a disk or a mount may touch: the platform's own.
        own: the endpoint of the platform's own object store, whose keys the first `emf up` makes.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        nas: Mapping[str, Path],
        closed: Iterable[Path] = (),
        own: str = "",
    ) -> None:
        self._endpoints = dict(endpoints)
        self._nas = dict(nas)
        self._closed = tuple(closed)
        self._own = own
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Return the storage of this platform: keys from EMF_HOME/secrets.env, else from `environ`."""
        return cls(configured(settings, environ), settings.nas, [settings.home], settings.object_store_endpoint)

    @classmethod
    def from_wire(cls, wire: Mapping[str, object]) -> Self:
        """Return the storage that `to_wire` described; `Refused` when the fields are not its fields."""
        try:
            known = _Wire.model_validate(wire)
        except ValidationError as error:
            fields = ", ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise Refused(f"What was sent describes no storage: {fields}.") from None
        return cls(known.endpoints, known.nas, known.closed)

    def to_wire(self, places: Iterable[Location]) -> dict[str, Any]:
        """Return what an instance needs for these locations and nothing else, as JSON values. It holds keys.

        Raises:
            UnknownEndpoint: one of the locations is on an object store or NAS that the platform does not know.
        """
        endpoints: dict[str, Endpoint] = {}
        nas: dict[str, Path] = {}
        for place in places:
            if place.scheme == "obs":
                name = self._endpoint_name(place)
                endpoints[name] = self._endpoints[name]
            elif place.scheme == "nas":
                nas[place.authority] = self._mount(place)
        wire = _Wire(endpoints=endpoints, nas=nas, closed=list(self._closed)).model_dump(mode="json")
        for name, endpoint in endpoints.items():
            wire["endpoints"][name]["secret_key"] = endpoint.secret_key.get_secret_value()
        return wire

    def __repr__(self) -> str:
        return f"Storage(endpoints={sorted(self._endpoints)}, nas={sorted(self._nas)})"

    def store(self, place: Location) -> Store:
        """Return what serves this location, connected at the first call.

        Raises:
            UnknownEndpoint: the platform has no credentials for the object store, or no mount for the NAS.
        """
        with self._lock:
            if place.scheme == "obs":
                name = self._endpoint_name(place)
                if name not in self._stores:
                    from blocks.storage.object_store import ObjectStore  # boto3 is slow to load

                    self._stores[name] = ObjectStore(self._endpoints[name])
                return self._stores[name]
        return self._folders(place)

    def entries(self, place: Location) -> Iterator[Entry]:
        """See `Store.entries`."""
        return self.store(place).entries(place)

    def stat(self, place: Location) -> Entry | None:
        """See `Store.stat`."""
        return self.store(place).stat(place)

    def read(self, place: Location, limit: int = READ_LIMIT) -> bytes:
        """See `Store.read`."""
        return self.store(place).read(place, limit)

    def write(self, place: Location, data: bytes, only_if_absent: bool = False) -> None:
        """See `Store.write`."""
        self.store(place).write(place, data, only_if_absent)

    def download(
        self,
        place: Location,
        folder: Path,
        progress: Progress | None = None,
        skip: Callable[[str], bool] | None = None,
    ) -> Transfer:
        """See `Store.download`."""
        return self.store(place).download(place, folder, progress, skip)

    def upload(
        self,
        source: Path,
        place: Location,
        progress: Progress | None = None,
        skip: Callable[[str], bool] | None = None,
    ) -> Transfer:
        """See `Store.upload`."""
        return self.store(place).upload(source, place, progress, skip)

    def copy(self, source: Location, target: Location) -> None:
        """See `Store.copy`; both are on one object store, or one mount.

        Raises:
            BadPath: they are not.
        """
        if (source.scheme, source.endpoint) != (target.scheme, target.endpoint):
            raise BadPath(f"{source} and {target} are not in one place, so one cannot be copied to the other there.")
        self.store(source).copy(source, target)

    def delete(self, place: Location) -> None:
        """See `Store.delete`."""
        self.store(place).delete(place)

    def probe(self, place: Location, write: bool) -> None:
        """See `Store.probe`."""
        self.store(place).probe(place, write)

    def mounted(self, place: Location) -> Path | None:
        """Return where a folder on a NAS is on this machine, so that it need not be copied; None for anything else."""
        if place.scheme != "nas":
            return None
        return self._folders(place).folder(place)

    def ensure_container(self, place: Location) -> None:
        """See `Store.ensure_container`."""
        self.store(place).ensure_container(place)

    def _endpoint_name(self, place: Location) -> str:
        """Return the key of the endpoint that serves `place`."""
        account = place.account.removeprefix("AUTH_")
        fitting = [
            name
            for name, endpoint in self._endpoints.items()
            if name.partition("/")[0] == place.authority and account in {"", endpoint.account.removeprefix("AUTH_")}
        ]
        if place.endpoint in fitting or place.authority in fitting:
            return place.endpoint if place.endpoint in fitting else place.authority
        if len(fitting) == 1:
            return fitting[0]
        known = ", ".join(sorted(fitting or self._endpoints)) or "none"
        if fitting:
            raise UnknownEndpoint(f"{place} may mean several accounts.", f"Write one of: {known}.")
        if place.authority == self._own and self._own not in self._endpoints:
            raise UnknownEndpoint(
                f"{place} is in the platform's own object store, which has no keys yet.",
                "Run `emf up`, which makes them and starts it.",
            )
        raise UnknownEndpoint(
            f"The platform has no keys for the object store {place.endpoint}. It knows: {known}.",
            "Correct the path, or let the operator add the keys to EMF_HOME/secrets.env.",
        )

    def _folders(self, place: Location) -> FolderStore:
        return FolderStore(self._mount(place) if place.scheme == "nas" else Path("/"), self._closed)

    def _mount(self, place: Location) -> Path:
        try:
            return self._nas[place.authority]
        except KeyError:
            known = ", ".join(sorted(self._nas)) or "none"
            raise UnknownEndpoint(
                f"The platform has no mount for the NAS {place.authority}. It knows: {known}.",
                "Correct the path, or let the operator add the mount under `nas` in EMF_HOME/settings.yaml.",
            ) from None
