"""What every kind of storage can do: the interface, and the small values that it answers with."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from blocks.storage.location import Location

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, from several threads but one at a time."""

READ_LIMIT = 16 * 1024 * 1024
"""Bytes that `read` takes into memory unless told otherwise."""
THREADS = 8
"""Files in flight at once: eight gave 2.5 times one on small objects, more gave nothing."""


@dataclass(frozen=True)
class Entry:
    """One file or object.

    `key` is its path relative to the folder that was asked for (for a single object: its name), as the server tells
    it: nobody has checked it. `size` is in bytes, `etag` None where the storage has none, `modified` in UTC.
    """

    key: str
    size: int
    etag: str | None
    modified: datetime


@dataclass(frozen=True)
class Transfer:
    """What a copy did: files and bytes copied, and what was left out, each as `path: reason`."""

    files: int
    bytes: int
    skipped: tuple[str, ...] = ()


class Store(Protocol):
    """One object store or one mount. Every method raises only `StorageError`s."""

    def entries(self, place: Location) -> Iterator[Entry]:
        """Yield every file below the folder, or the one object; nothing when nothing is there."""
        ...

    def stat(self, place: Location) -> Entry | None:
        """Return the one file at `place`; None when there is none, also when `place` is a folder."""
        ...

    def read(self, place: Location, limit: int = READ_LIMIT) -> bytes:
        """Return a file's content; `NotFound` without one, `Unsafe` past `limit` bytes."""
        ...

    def write(self, place: Location, data: bytes, only_if_absent: bool = False) -> None:
        """Write a file at once or not at all; with `only_if_absent`, `AlreadyThere` when another was first.

        Swift looks before it writes, so of those that come in the same instant more than one may be told that it wrote:
        what has to be exclusive is decided in the records.
        """
        ...

    def download(
        self,
        place: Location,
        folder: Path,
        progress: Progress | None = None,
        skip: Callable[[str], bool] | None = None,
    ) -> Transfer:
        """Copy everything below `place` into `folder`, a single object to `folder/name`.

        `skip` is asked with each path relative to `place`.

        Raises:
            NotFound: there is not one file.
            Unsafe: a key would leave the folder or is both a file and a folder; nothing was copied.
            Changed: a file has not the size that was listed.
        """
        ...

    def upload(
        self,
        source: Path,
        place: Location,
        progress: Progress | None = None,
        skip: Callable[[str], bool] | None = None,
    ) -> Transfer:
        """Copy a folder's content below `place`, or one file to `place` (into it, when it ends in a slash).

        `skip` is asked with each path relative to the folder. Links that leave the folder, and what is no file, are not
        copied but named in the answer.

        Raises:
            Changed: a file went away meanwhile.
        """
        ...

    def copy(self, source: Location, target: Location) -> None:
        """Make `target` what the file `source` is, where both lie: its bytes do not come here.

        Raises:
            NotFound: there is no such file.
        """
        ...

    def delete(self, place: Location) -> None:
        """Remove the object and everything below it; also when nothing is there. `Unsafe` for a whole container."""
        ...

    def probe(self, place: Location, write: bool) -> None:
        """Do what a user of `place` will do, on one byte: list and read; or write, read and remove.

        Raises:
            NotFound: not one file is there to read, or there is no container to write to.
        """
        ...

    def ensure_container(self, place: Location) -> None:
        """Make the container (or, on a disk, the folder) of `place` unless it is there."""
        ...


class Meter:
    """Adds up the bytes of several threads for one `Progress`."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes; a negative count takes back those of a try that failed."""
        if self._progress is None:
            return
        with self._lock:
            self._done += count
            self._progress(self._done, self._total)
