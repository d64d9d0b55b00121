"""Checkpoints: how the folders of an attempt are committed, and how they come back verified.

A commit is files, then a manifest (path, size, sha256), then a marker that only the first writer gets:
`…/attempt-1/checkpoint-3/…`, `…/checkpoint-3.manifest.json`, `…/checkpoint-3.committed`. Without its marker a
checkpoint is never resumed from. Of several instances the files lie in `…/checkpoint-3/instance-0/…` and so on, under
one manifest and one marker: it is there when every instance's part is.
"""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blocks.errors import Permanent
from blocks.storage.errors import AlreadyThere
from blocks.storage.location import DERIVED_LIMIT, Location, parse
from blocks.storage.storage import Storage
from blocks.storage.store import THREADS, Progress
from flows.training.checkpoints.manifest import (
    UNCOMMITTED,
    Damaged,
    Listed,
    Manifest,
    beside,
    files_of,
    read_manifest,
    share_of,
    verify,
)
from flows.training.checkpoints.paths import MARKER, OWN_CHECKPOINT, OWN_FOLDER
from flows.training.checkpoints.provenance import Provenance
from flows.training.checkpoints.snapshot import Part, prefix_of


@dataclass(frozen=True)
class Known:
    """A checkpoint of which it is known where it lies and what it consists of."""

    place: Location
    manifest: Manifest


@dataclass(frozen=True)
class Committed:
    """A checkpoint whose marker is written.

    Sizes are bytes; `unchanged` of them were there already, in an earlier one. `left_out` names what could not be sent,
    and why.
    """

    number: int
    path: str
    files: int
    bytes: int
    unchanged: int = 0
    left_out: tuple[str, ...] = ()
    taken_at: datetime | None = None


def manifest_of(
    parts: Sequence[Part],
    place: Location,
    attempt_id: str,
    number: int,
    *,
    instances: int = 1,
    taken_at: datetime | None = None,
    made_from: Provenance | None = None,
) -> Manifest:
    """Return the manifest of parts that are sent to a place."""
    files = [
        Listed(path=part.prefix + file.path, size=file.size, sha256=file.sha256)
        for part in parts
        for file in files_of(part.folder, _place_of(part, place), leaving=part.others())
    ]
    return Manifest(
        attempt=attempt_id, number=number, files=files, instances=instances, taken_at=taken_at, made_from=made_from
    )


def _place_of(part: Part, place: Location) -> Location:
    return place / part.prefix if part.prefix else place


def commit(
    storage: Storage,
    parts: Sequence[Part],
    place: Location,
    manifest: Manifest,
    before: Known | None = None,
    progress: Progress | None = None,
) -> Committed:
    """Send parts that stay as they are, and commit them. Run again after a kill it ends in the same place.

    Args:
        storage: which knows the place.
        parts: whose files go there, each below its prefix.
        place: the checkpoint's folder.
        manifest: what the parts consist of.
        before: an earlier checkpoint: files that it has already are copied where they lie and not sent again.
        progress: told of what is sent.

    Raises:
        blocks.storage.errors.StorageError: a file, the manifest or the marker could not be written.
    """
    there = _copy_unchanged(storage, place, manifest, before) if before else {}
    left_out: list[str] = []
    for part in parts:
        skipped = {path.removeprefix(part.prefix) for path in there if path.startswith(part.prefix)} | part.others()
        sent = storage.upload(part.folder, _place_of(part, place), progress, skip=skipped.__contains__)
        left_out += [f"{part.prefix}{told}" for told in sent.skipped]
    said = manifest.to_json()
    storage.write(beside(place, ".manifest.json"), said)
    with contextlib.suppress(AlreadyThere):  # ours, from before a kill: nobody else writes below this attempt
        storage.write(beside(place, ".committed"), hashlib.sha256(said).hexdigest().encode(), only_if_absent=True)
    return Committed(
        number=manifest.number,
        path=str(place),
        files=len(manifest.files),
        bytes=manifest.size,
        unchanged=sum(there.values()),
        left_out=tuple(left_out),
        taken_at=manifest.taken_at,
    )


def _copy_unchanged(storage: Storage, place: Location, manifest: Manifest, before: Known) -> dict[str, int]:
    """Copy what an earlier checkpoint has already; returns the size of each file by its path in this one."""
    known = {(file.sha256, file.size): before.place / file.path for file in before.manifest.files}
    sources = {file: known[file.sha256, file.size] for file in manifest.files if (file.sha256, file.size) in known}

    def copied(file: Listed) -> bool:
        try:
            storage.copy(sources[file], place / file.path)
        except Permanent:  # gone, or more than this store copies: it is sent
            return False
        return True

    with ThreadPoolExecutor(THREADS, thread_name_prefix="unchanged") as pool:
        done = list(pool.map(copied, sources))
    return {file.path: file.size for file, was in zip(sources, done, strict=True) if was}


@dataclass(frozen=True)
class Fetched:
    """What an instance was handed: of a checkpoint of ours its manifest (else None), and the paths of others' files."""

    manifest: Manifest | None
    borrowed: frozenset[str] = frozenset()


def fetch(storage: Storage, path: str, into: Path, index: int = 0, progress: Progress | None = None) -> Fetched:
    """Bring what a person gave into a folder; what carries our manifest is verified against it.

    A folder without our manifest is handed over as it is; trainings' own folders below it (`tr-…`) are left out.

    Raises:
        Damaged: a file is missing or is not what the manifest says (the file is named), or it is a checkpoint of ours
            that was never committed, or is being deleted.
    """
    place = parse(path, DERIVED_LIMIT)
    if not is_committed(storage, place):
        if OWN_CHECKPOINT.search(place.key):
            raise Damaged(f"The checkpoint {place} {UNCOMMITTED}.")
        storage.download(place, into, progress, skip=lambda name: OWN_FOLDER.match(name) is not None)
        return Fetched(None)
    return fetch_committed(storage, path, into, index, progress)


def is_committed(storage: Storage, place: Location) -> bool:
    """Say whether a folder is a checkpoint with a marker; beside a whole container or mount there is none."""
    return bool(place.key) and storage.stat(beside(place, ".committed")) is not None


def newest_committed(storage: Storage, place: Location) -> str:
    """Return the path of the newest checkpoint with a marker below a training's or an attempt's folder; "" without."""
    at = str(place).rstrip("/")
    paths = (f"{at}/{entry.key}" for entry in storage.entries(parse(f"{at}/", DERIVED_LIMIT)))
    found = filter(None, map(MARKER.search, paths))
    newest = max(found, key=lambda one: (int(one["attempt"]), int(one["number"])), default=None)
    return newest.string.removesuffix(".committed") if newest else ""


def fetch_committed(
    storage: Storage, path: str, into: Path, index: int = 0, progress: Progress | None = None
) -> Fetched:
    """Bring what an instance is handed of a committed checkpoint into a folder, and verify it.

    Raises:
        Damaged: its marker, or a file, is missing or is not what the manifest says; the file is named.
        blocks.storage.errors.NotFound: its manifest, or all of its files are missing.
    """
    place = parse(path, DERIVED_LIMIT)
    manifest = read_manifest(storage, place)
    share = share_of(manifest, index)
    # What somebody has put below it since is no part of it.
    for other in range(manifest.instances):
        prefix = prefix_of(other, manifest.instances)
        wanted = {name for name, file in share.items() if file.path == f"{prefix}{name}"}
        if wanted:
            storage.download(place / prefix if prefix else place, into, progress, skip=_none_but(wanted))
    verify(into, share, path)
    own = prefix_of(index, manifest.instances)
    return Fetched(manifest, frozenset(name for name, file in share.items() if file.path != f"{own}{name}"))


def _none_but(wanted: set[str]) -> Callable[[str], bool]:
    return lambda name: name not in wanted


def forget(storage: Storage, path: Location) -> None:
    """Delete a checkpoint. Its marker goes first: what lacks it is no checkpoint, however much of it is left."""
    for gone in (beside(path, ".committed"), beside(path, ".manifest.json"), path):
        storage.delete(gone)
