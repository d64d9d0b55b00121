"""Checkpoints: how a folder is committed, and how it comes back verified.

A commit is files, then a manifest (path, size, sha256), then a marker that only the first writer gets:
`…/attempt-1/checkpoint-3/…`, `…/checkpoint-3.manifest.json`, `…/checkpoint-3.committed`. Without its marker a
checkpoint is never resumed from.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from blocks.errors import Permanent
from blocks.storage.errors import AlreadyThere, BadPath, NotFound
from blocks.storage.location import DERIVED_LIMIT, Location, parse
from blocks.storage.os_errors import os_faults
from blocks.storage.storage import Storage
from blocks.storage.store import Progress
from blocks.storage.walk import walk

Signature = Mapping[str, tuple[int, int]]
"""Relative path to size (bytes) and modification time (ns) of every file of a folder."""

MANIFEST_LIMIT = 1 << 28
"""Bytes of a manifest: enough for as many files as a walk finds."""

OWN_FOLDER = re.compile(r"tr-[0-9a-f]{12}/")
"""What the platform itself puts below a checkpoint path: a folder a training."""


class Damaged(Permanent):
    """A checkpoint's files are not what its manifest says."""


class Listed(BaseModel):
    """A file of a manifest: its path below the checkpoint, its size in bytes and its sha256."""

    model_config = ConfigDict(strict=True, frozen=True)
    path: str
    size: int
    sha256: str


class Manifest(BaseModel):
    """What a checkpoint consists of, and which attempt made it."""

    model_config = ConfigDict(strict=True, frozen=True)
    attempt: str
    number: int
    files: list[Listed]


@dataclass(frozen=True)
class Committed:
    """A checkpoint whose marker is written. Size in bytes; `left_out` names what could not be sent, and why."""

    number: int
    path: str
    files: int
    bytes: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What an upload would find in a folder: its files, and what it would leave out, each as `path: reason`."""

    files: Signature
    left_out: tuple[str, ...]


def look(folder: Path) -> Look:
    """Return what lies in a folder now; links that stay in it are followed, what vanishes meanwhile is not there.

    Raises:
        blocks.storage.errors.StorageError: a folder cannot be listed, or has too many files.
    """
    left_out: list[str] = []
    found: dict[str, tuple[int, int]] = {}
    if folder.is_dir():
        with os_faults(folder, "look through"):
            for file in walk(folder, folder, lambda key, reason: left_out.append(f"{key}: {reason}")):
                found[file.key] = (file.status.st_size, file.status.st_mtime_ns)
    return Look(dict(sorted(found.items())), tuple(left_out))


def signature(folder: Path) -> Signature:
    """Return the files that lie in a folder now."""
    return look(folder).files


def manifest_of(folder: Path, path: Location, attempt_id: str, number: int) -> bytes:
    """Return the manifest of a snapshot that is sent to a path."""
    said = Manifest(attempt=attempt_id, number=number, files=files_of(folder, path))
    return json.dumps(said.model_dump(), indent=1, sort_keys=True).encode()


def files_of(folder: Path, path: Location) -> list[Listed]:
    """Return every file that an upload to a path takes, with its size in bytes and its sha256."""
    return [
        Listed(path=name, size=size, sha256=digest(folder / name))
        for name, (size, _) in signature(folder).items()
        if _can_be_sent(path, name)
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


def commit(storage: Storage, folder: Path, path: Location, attempt_id: str, number: int) -> Committed:
    """Send a snapshot and commit it. Run again after a kill it ends in the same place.

    Raises:
        blocks.storage.errors.StorageError: a file, the manifest or the marker could not be written.
    """
    manifest = manifest_of(folder, path, attempt_id, number)
    sent = storage.upload(folder, path)
    storage.write(beside(path, ".manifest.json"), manifest)
    with contextlib.suppress(AlreadyThere):  # ours, from before a kill: nobody else writes below this attempt
        storage.write(beside(path, ".committed"), hashlib.sha256(manifest).hexdigest().encode(), only_if_absent=True)
    return Committed(number, str(path), sent.files, sent.bytes, sent.skipped)


def fetch(storage: Storage, path: str, into: Path, progress: Progress | None = None) -> bool:
    """Bring what a person gave into a folder; True where it carries our manifest and was verified against it.

    A folder without our manifest is handed over as it is; trainings' own folders below it (`tr-…`) are left out.

    Raises:
        Damaged: a file is missing or is not what the manifest says; the file is named.
    """
    place = parse(path, DERIVED_LIMIT)
    # Beside a whole container or mount there is nothing.
    if not place.key or storage.stat(beside(place, ".committed")) is None:
        storage.download(place, into, progress, skip=lambda name: OWN_FOLDER.match(name) is not None)
        return False
    fetch_committed(storage, path, into, progress)
    return True


def fetch_committed(storage: Storage, path: str, into: Path, progress: Progress | None = None) -> None:
    """Bring a committed checkpoint's files into a folder, and verify them.

    Raises:
        Damaged: its marker, or a file, is missing or is not what the manifest says; the file is named.
        blocks.storage.errors.NotFound: its manifest, or all of its files are missing.
    """
    place = parse(path, DERIVED_LIMIT)
    manifest = read_manifest(storage, place)
    listed = {file.path for file in manifest.files}
    # What somebody has put below it since is no part of it.
    storage.download(place, into, progress, skip=lambda name: name not in listed)
    verify(into, manifest, path)


def read_manifest(storage: Storage, place: Location) -> Manifest:
    """Return the manifest of a committed checkpoint.

    Raises:
        Damaged: there is no marker, or the manifest is not the one that was committed, or is not one at all.
        blocks.storage.errors.NotFound: there is no manifest.
    """
    try:
        marker = storage.read(beside(place, ".committed"))
    except NotFound:
        raise Damaged(f"The checkpoint {place} has no marker: it was deleted, or never committed.") from None
    said = storage.read(beside(place, ".manifest.json"), MANIFEST_LIMIT)
    if hashlib.sha256(said).hexdigest().encode() != marker.strip():
        raise Damaged(f"The manifest of the checkpoint {place} is not the one that was committed.")
    try:
        return Manifest.model_validate_json(said)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "its text"
        raise Damaged(f"The manifest of the checkpoint {place} is not one: {where}: {fault['msg']}.") from None


def verify(folder: Path, manifest: Manifest, name: str) -> None:
    """Compare a folder with a manifest.

    Raises:
        Damaged: a file is missing or differs.
    """
    for listed in manifest.files:
        file = folder / listed.path
        if not file.is_file():
            raise Damaged(f"The checkpoint {name} lacks its file {listed.path}.")
        if file.stat().st_size != listed.size or digest(file) != listed.sha256:
            raise Damaged(f"The file {listed.path} of the checkpoint {name} is not what was committed.")


def forget(storage: Storage, path: Location) -> None:
    """Delete a checkpoint. Its marker goes first: what lacks it is no checkpoint, however much of it is left."""
    for gone in (beside(path, ".committed"), beside(path, ".manifest.json"), path):
        storage.delete(gone)
