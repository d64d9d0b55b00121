"""`nas://` and `file://`: folders of this machine. What is written appears at once or not at all (rename, link)."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from blocks.storage.copy import Job, copy_all
from blocks.storage.errors import AlreadyThere, BadPath, NotFound, Unreachable, Unsafe
from blocks.storage.landing import make_room, plan
from blocks.storage.location import Location
from blocks.storage.os_errors import os_faults
from blocks.storage.probe import CONTENT, write_read_remove
from blocks.storage.store import READ_LIMIT, Entry, Meter, Progress, Transfer
from blocks.storage.upload import sources
from blocks.storage.walk import PARTIAL, Found, touched, walk

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
"""What a mount says that knows no hard links, or has too many of one file."""


class FolderStore:
    """A mount (`nas://`), or this machine's disk (`file://`).

    Args:
        root: the folder that keys are relative to.
        closed: folders that are nobody's data (the platform's own); a location in one, or around one, is refused.
    """

    def __init__(self, root: Path, closed: Iterable[Path] = ()) -> None:
        self._root = root
        self._closed = tuple(folder.resolve() for folder in closed)

    def entries(self, place: Location) -> Iterator[Entry]:
        """Yield every file below the folder, or the one file."""
        with os_faults(place, "list"):
            for found in self._found(place, []):
                yield _entry(found.key, found.status)

    def stat(self, place: Location) -> Entry | None:
        """Return the one file at `place`, or None."""
        with os_faults(place, "look at"):
            path = self._path(place)
            return _entry(place.name, path.stat()) if not place.is_folder and path.is_file() else None

    def folder(self, place: Location) -> Path | None:
        """Return the folder that a location is, with all links followed; None where it is no folder."""
        with os_faults(place, "look at"):
            path = self._path(place)
            return path.resolve() if path.is_dir() else None

    def read(self, place: Location, limit: int = READ_LIMIT) -> bytes:
        """Return a file's content."""
        with os_faults(place, "read"):
            path = self._path(place)
            if path.exists() and not path.is_file():  # a FIFO would never answer
                raise BadPath(f"{place} is no file, so it cannot be read as one.", "Name a file in it.")
            with path.open("rb") as file:
                data = file.read(limit + 1)
        if len(data) > limit:
            raise Unsafe(f"{place} has more than the {limit} bytes that may be read at once.", "Download it instead.")
        return data

    def write(self, place: Location, data: bytes, only_if_absent: bool = False) -> None:
        """Write a file at once or not at all."""
        if place.is_folder:
            raise BadPath(f"{place} is a folder, so no file can be written to it.", "Name a file in it.")
        with os_faults(place, "write"):
            path = self._path(place)
            path.parent.mkdir(parents=True, exist_ok=True)
            with _partial(path) as partial:
                with partial.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if only_if_absent:
                    _link_new(partial, path, place)
                else:
                    partial.replace(path)

    def download(
        self,
        place: Location,
        folder: Path,
        progress: Progress | None = None,
        skip: Callable[[str], bool] | None = None,
    ) -> Transfer:
        """Copy everything below `place` into `folder`."""
        skipped: list[str] = []
        with os_faults(place, "download"):
            found = {found.key: found for found in self._found(place, skipped) if not (skip and skip(found.key))}
            if not found:
                raise nothing_at(place, skipped)
            landings = plan(place, [_entry(key, item.status) for key, item in found.items()], folder)
            make_room(landings, folder)
            jobs = [Job(found[item.entry.key].path, item.target, item.entry.size) for item in landings]
            total = copy_all(jobs, Meter(sum(job.size for job in jobs), progress))
        return Transfer(len(jobs), total, tuple(skipped))

    def upload(
        self,
        source: Path,
        place: Location,
        progress: Progress | None = None,
        skip: Callable[[str], bool] | None = None,
    ) -> Transfer:
        """Copy a folder's content below `place`, or one file to it."""
        with os_faults(f"{source} to {place}", "upload"):
            chosen, skipped = sources(source, place, skip)
            jobs = [Job(item.path, self._path(item.place), item.size) for item in chosen]
            for parent in {job.target.parent for job in jobs}:
                parent.mkdir(parents=True, exist_ok=True)
            total = copy_all(jobs, Meter(sum(job.size for job in jobs), progress))
        return Transfer(len(jobs), total, tuple(skipped))

    def copy(self, source: Location, target: Location) -> None:
        """Give a file a second name: whoever writes here replaces files and changes none, so they stay two."""
        with os_faults(f"{source} to {target}", "copy"):
            old, new = self._path(source), self._path(target)
            new.parent.mkdir(parents=True, exist_ok=True)
            with _partial(new) as partial:
                try:
                    partial.hardlink_to(old)
                except OSError as error:
                    if error.errno not in NO_LINKS:
                        raise
                    copy_all([Job(old, partial, old.stat().st_size)], Meter(0, None))
                partial.replace(new)

    def delete(self, place: Location) -> None:
        """Remove the file or the folder; a link is removed, not what it leads to."""
        if not place.key:
            raise Unsafe(f"{place} is a whole mount, which is never deleted.", "Name a folder of it.")
        with os_faults(place, "delete"):
            path = self._path(place)
            if path.is_symlink() or not path.is_dir():
                if not place.is_folder:
                    path.unlink(missing_ok=True)
                return
            with suppress(FileNotFoundError):  # somebody else deletes it too
                shutil.rmtree(path)

    def probe(self, place: Location, write: bool) -> None:
        """List and read a byte; or write, read and remove a file, and the folders made for it."""
        if write:
            self._probe_write(place)
            return
        with os_faults(place, "read"):
            skipped: list[str] = []
            first = next(self._found(place, skipped), None)
            if first is None:
                raise nothing_at(place, skipped)
            with first.path.open("rb") as file:
                file.read(1)

    def ensure_container(self, place: Location) -> None:
        """Make the folder unless it is there."""
        with os_faults(place, "make"):
            self._path(place).mkdir(parents=True, exist_ok=True)

    def _probe_write(self, place: Location) -> None:
        file = place / f".emf-probe-{uuid.uuid4().hex}"
        with os_faults(place, "write below"):
            folder = self._path(place)
            if folder.exists() and not folder.is_dir():
                raise BadPath(f"{place} is a file, so nothing can be written below it.", "Name a folder.")
            made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
            try:
                write_read_remove(lambda: self.write(file, CONTENT), lambda: self.read(file), lambda: self.delete(file))
            finally:
                for parent in made:  # the deepest first; one that somebody else uses by now stays
                    with suppress(OSError):
                        parent.rmdir()

    def _path(self, place: Location) -> Path:
        """Return where `place` is on this machine.

        Raises:
            Unreachable: its mount is not there.
            Unsafe: dots or links lead out of the mount, or into the platform's own folder.
        """
        if not self._root.is_dir():
            # Not `NotFound`: of a mount that is away for a moment nobody knows what it holds.
            raise Unreachable(f"{place} lies on {self._root}, which is no folder now.", "Mount it there.")
        root = self._root.resolve()
        path = root / place.key.rstrip("/")
        real = path.resolve()
        if not real.is_relative_to(root):
            raise Unsafe(f"{place} leads out of its mount {self._root} through a link.", "Name a folder inside it.")
        if folder := touched(real, self._closed):
            raise Unsafe(f"{place} is in or around {folder}, the platform's own folder.", "Name another folder.")
        return path

    def _found(self, place: Location, skipped: list[str]) -> Iterator[Found]:
        path = self._path(place)
        if path.is_file() and not place.is_folder:
            yield Found(path.name, path, path.stat())
        elif path.is_dir():
            boundary = self._root if place.scheme == "nas" else path
            yield from walk(path, boundary, lambda key, reason: skipped.append(f"{key}: {reason}"), closed=self._closed)


def nothing_at(place: Location, skipped: list[str]) -> NotFound:
    """Return the error for a place without one file; names what was passed over, if anything."""
    passed = f" {len(skipped)} were left out, first {skipped[0]}." if skipped else ""
    return NotFound(f"{place} holds no files.{passed}", "Correct the path, or put the files there first.")


def _entry(key: str, status: os.stat_result) -> Entry:
    return Entry(key, status.st_size, None, datetime.fromtimestamp(status.st_mtime, UTC))


@contextmanager
def _partial(path: Path) -> Generator[Path]:
    """Yield the name to write to before the file gets its own; nothing is left under it."""
    partial = path.with_name(f".{uuid.uuid4().hex}{PARTIAL}")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _link_new(partial: Path, path: Path, place: Location) -> None:
    try:
        try:
            path.hardlink_to(partial)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # mounts without hard links: only the first makes the name, its content follows
            with path.open("xb"):
                pass
            partial.replace(path)
    except FileExistsError as error:
        raise AlreadyThere(f"{place} was written before, and only the first may write it.") from error
