"""What a checkpoint consists of: every file with its size and sha256, who made it, and from what."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from blocks.errors import Permanent
from blocks.storage.errors import BadPath, NotFound
from blocks.storage.location import DERIVED_LIMIT, Location, parse
from blocks.storage.storage import Storage
from flows.training.checkpoints.provenance import Provenance
from flows.training.checkpoints.snapshot import prefix_of, signature

LIMIT = 1 << 28
"""Bytes of a manifest: enough for as many files as a walk finds."""


UNCOMMITTED = "has no marker: it was deleted, or never committed"
"""What is wrong with a checkpoint that does not count."""


class Damaged(Permanent):
    """A checkpoint's files are not what its manifest says."""


class Listed(BaseModel):
    """A file of a manifest: its path below the checkpoint, its size in bytes and its sha256."""

    model_config = ConfigDict(strict=True, frozen=True)
    path: str
    size: int
    sha256: str


class Manifest(BaseModel):
    """What a checkpoint consists of, which attempt made it, of how many instances, when, and from what."""

    model_config = ConfigDict(strict=True, frozen=True)
    attempt: str
    number: int
    files: list[Listed]
    instances: int = 1
    taken_at: datetime | None = None
    made_from: Provenance | None = None

    @property
    def size(self) -> int:
        """All of its files, in bytes."""
        return sum(file.size for file in self.files)

    def to_json(self) -> bytes:
        """Return what is written beside a checkpoint."""
        return self.model_dump_json(indent=1, exclude_none=True).encode()


def files_of(folder: Path, path: Location, leaving: Collection[str] = ()) -> list[Listed]:
    """Return every file that an upload of a folder to a path takes, with its size in bytes and its sha256."""
    return [
        Listed(path=name, size=size, sha256=digest(folder / name))
        for name, (size, _) in signature(folder).items()
        if name not in leaving and _can_be_sent(path, name)
    ]


def _can_be_sent(path: Location, name: str) -> bool:
    try:
        return bool(path / name)
    except BadPath:
        return False


def digest(file: Path) -> str:
    """Return a file's sha256."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def beside(path: Location, suffix: str) -> Location:
    """Return the object beside a checkpoint's folder: its manifest or its marker."""
    return parse(str(path).rstrip("/") + suffix, DERIVED_LIMIT)


def read_manifest(storage: Storage, place: Location) -> Manifest:
    """Return the manifest of a committed checkpoint.

    Raises:
        Damaged: there is no marker, or the manifest is not the one that was committed, or is not one at all.
        blocks.storage.errors.NotFound: there is no manifest.
    """
    try:
        marker = storage.read(beside(place, ".committed"))
    except NotFound:
        raise Damaged(f"The checkpoint {place} {UNCOMMITTED}.") from None
    said = storage.read(beside(place, ".manifest.json"), LIMIT)
    if hashlib.sha256(said).hexdigest().encode() != marker.strip():
        raise Damaged(f"The manifest of the checkpoint {place} is not the one that was committed.")
    try:
        return Manifest.model_validate_json(said)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "its text"
        raise Damaged(f"The manifest of the checkpoint {place} is not one: {where}: {fault['msg']}.") from None


def share_of(manifest: Manifest, index: int) -> Mapping[str, Listed]:
    """Return what an instance is handed of a checkpoint: each file by the path that it gets there.

    It finds the files of all parts, as where one of several processes saves for all the others read what that saved;
    of files with one name in several parts each gets its own, and who has none that of the lowest instance.
    """
    if manifest.instances == 1:
        return {file.path: file for file in manifest.files}
    found: dict[str, Listed] = {}
    folders: set[str] = set()
    for other in sorted(range(manifest.instances), key=lambda other: (other != index, other)):
        prefix = prefix_of(other, manifest.instances)
        for file in manifest.files:
            name = file.path.removeprefix(prefix)
            above = {str(folder) for folder in PurePosixPath(name).parents}
            # What is a file in one part and a folder in another cannot be both: the first stays.
            clashes = name in found or name in folders or above & found.keys()
            if file.path.startswith(prefix) and not clashes:
                found[name] = file
                folders |= above
    return found


def verify(folder: Path, share: Mapping[str, Listed], name: str) -> None:
    """Compare a folder with what a checkpoint has for it.

    Raises:
        Damaged: a file is missing or differs.
    """
    for path, listed in share.items():
        file = folder / path
        if not file.is_file():
            raise Damaged(f"The checkpoint {name} lacks its file {listed.path}.")
        if file.stat().st_size != listed.size or digest(file) != listed.sha256:
            raise Damaged(f"The file {listed.path} of the checkpoint {name} is not what was committed.")


def are_same(some: Iterable[Listed], others: Iterable[Listed]) -> bool:
    """Say whether two lists have the same files with the same content."""
    return {file.path: file.sha256 for file in some} == {file.path: file.sha256 for file in others}
