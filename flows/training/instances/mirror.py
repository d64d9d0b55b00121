"""TensorBoard's files while the script writes them: what is new is appended to a mirror that TensorBoard reads."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from blocks.errors import Temporary
from blocks.storage.errors import NoSpace, NotFound, StorageError
from blocks.storage.os_errors import os_faults, translate

COMPARED = 4096
"""Bytes at the start, and at the end of what is mirrored, that tell whether a file only grew."""

LeaveOut = Callable[[str, str], None]


def mirror(source: Path, target: Path, leave_out: LeaveOut) -> int:
    """Bring the mirror up to date and return how many bytes were copied.

    Event files only grow, so the part that is new is appended; a file that shrank or was replaced is copied anew.

    Args:
        source: the folder that the script writes to.
        target: the mirror.
        leave_out: told of each file and folder that cannot be mirrored, by its path and why: none stops the others.

    Raises:
        NoSpace, Unreachable: a disk is full or in trouble, after all that could be mirrored was.
    """
    copied, fault = 0, None
    for file in _files(source, leave_out):
        name = str(file.relative_to(source))
        try:
            with os_faults(file, "mirror"):
                copied += _bring(file, target / name)
        except NotFound:
            continue  # gone meanwhile
        except StorageError as error:
            if isinstance(error, NoSpace | Temporary):
                fault = fault or error
            else:
                leave_out(name, error.problem)
    if fault:
        raise fault
    return copied


def _files(source: Path, leave_out: LeaveOut) -> Iterator[Path]:
    def unlisted(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # gone meanwhile
            name = str(Path(error.filename).relative_to(source))
            leave_out(name, translate(error, source, "look through").problem)

    for folder, folders, names in os.walk(source, onerror=unlisted):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _bring(file: Path, twin: Path) -> int:
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode):  # a link could lead to what is nobody's business
        return 0
    if twin.exists() and _state(twin.stat()) == _state(status):
        return 0
    twin.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as new, twin.open("ab" if _only_grew(file, twin) else "wb") as old:
        begin = new.seek(old.tell())
        shutil.copyfileobj(new, old)
        copied = old.tell() - begin
    os.utime(twin, ns=(status.st_atime_ns, status.st_mtime_ns))  # a twin of the same age needs no second look
    return copied


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _only_grew(file: Path, twin: Path) -> bool:
    """Say whether what the twin holds is still the beginning of the file, as far as both its ends show."""
    if not twin.exists():
        return False
    have = twin.stat().st_size
    with file.open("rb") as new, twin.open("rb") as old:
        for place in (0, max(0, have - COMPARED)):
            new.seek(place)
            old.seek(place)
            if new.read(min(COMPARED, have)) != old.read(COMPARED):
                return False
    return True
