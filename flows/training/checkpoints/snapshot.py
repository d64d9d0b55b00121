"""What lies in the folders of a checkpoint: looked at, and copied as one whole."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from blocks.storage.errors import NoSpace
from blocks.storage.os_errors import os_faults
from blocks.storage.walk import walk
from flows.training.whole import discard, put

SHARE_OF_DISK = 0.9  # of what is free; a script that saves, and the records, need some of it meanwhile
Signature = Mapping[str, tuple[int, int]]
"""Relative path to size (bytes) and modification time (ns) of every file of a folder."""


@dataclass(frozen=True)
class Part:
    """One instance's part of a checkpoint.

    `prefix` is what its files' paths begin with in the checkpoint: nothing, or, of several instances, `instance-1/`.
    What was brought from other instances' parts when it started (`borrowed`) is theirs for as long as it is as it came.
    """

    folder: Path
    prefix: str = ""
    borrowed: Signature = field(default_factory=dict[str, tuple[int, int]])

    def others(self) -> set[str]:
        """Return the files that are still as they were borrowed."""
        if not self.borrowed:
            return set()
        now = signature(self.folder)
        return {name for name, state in self.borrowed.items() if now.get(name) == state}


def prefix_of(index: int, count: int) -> str:
    """Return what the paths of an instance's files begin with in a checkpoint of so many instances."""
    return f"instance-{index}/" if count > 1 else ""


@dataclass(frozen=True)
class Look:
    """What an upload would find: its files, and what it would leave out, each as `path: reason`."""

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


def look_at(parts: Sequence[Part]) -> Look:
    """Return what lies in all parts of a checkpoint now, each file with its path in the checkpoint.

    Raises:
        blocks.storage.errors.StorageError: as `look`.
    """
    files: dict[str, tuple[int, int]] = {}
    left_out: list[str] = []
    for part in parts:
        seen = look(part.folder)
        own = {name: state for name, state in seen.files.items() if part.borrowed.get(name) != state}
        files |= {f"{part.prefix}{name}": state for name, state in own.items()}
        left_out += [f"{part.prefix}{told}" for told in seen.left_out]
    return Look(files, tuple(left_out))


def written_at(files: Signature, kept: Signature, after: datetime) -> datetime:
    """Return when the newest of what is not kept yet was written: by its own time, but after `after` and by now."""
    newest = max((time for name, (size, time) in files.items() if kept.get(name) != (size, time)), default=0) / 1e9
    return datetime.fromtimestamp(min(max(newest, after.timestamp()), datetime.now(UTC).timestamp()), UTC)


def snapshot(parts: Sequence[Part], into: Path, *, share: float = SHARE_OF_DISK) -> Look | None:
    """Copy all parts as a whole and return what was copied; None, and no copy, where anything moved meanwhile.

    What lies at `into` is whole, whenever one is killed.

    Args:
        parts: whose files.
        into: the copy; what lay there before goes, once it is known that there is room.
        share: of what is free on the disk, which the copy may take.

    Raises:
        NoSpace: it would take more; what lay at `into` is still there.
        OSError: the disk refused it.
    """
    coming = into.with_name(f"{into.name}.coming")
    shutil.rmtree(coming, ignore_errors=True)
    before = look_at(parts)
    _make_sure_of_room(before.files, into, share)
    discard(into)
    coming.mkdir(parents=True)
    try:
        for source, name in _sources(parts, before.files):
            target = coming / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        if look_at(parts).files == before.files:
            put(coming, into)
            return before
    except OSError:
        if look_at(parts).files == before.files:
            raise
    finally:
        shutil.rmtree(coming, ignore_errors=True)  # half of it would hold the room that others need
    return None


def _make_sure_of_room(files: Signature, into: Path, share: float) -> None:
    needed, replaced = (sum(size for size, _ in there.values()) for there in (files, signature(into)))
    into.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(into.parent).free + replaced
    if needed > share * free:
        raise NoSpace(
            f"A copy of the checkpoint has {needed} bytes, and the disk of {into.parent} has room for {free}.",
            f"Free or add space: it may take {share:.0%} of that.",
        )


def _sources(parts: Sequence[Part], files: Signature) -> Iterator[tuple[Path, str]]:
    for part in parts:
        for name in files:
            if name.startswith(part.prefix):
                yield part.folder / name.removeprefix(part.prefix), name
