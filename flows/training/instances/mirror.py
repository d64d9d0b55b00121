"""TensorBoard's files while the script writes them: what is new is appended to a mirror that TensorBoard reads."""

import os
import shutil
from pathlib import Path

COMPARED = 4096
"""Bytes at the start, and at the end of what is mirrored, that tell whether a file only grew."""


def mirror(source: Path, target: Path) -> int:
    """Bring the mirror up to date and return how many bytes were copied.

    Event files only grow, so the part that is new is appended; a file that shrank or was replaced is copied anew.
    """
    copied = 0
    for file in sorted(source.rglob("*")):
        if file.is_file() and not file.is_symlink():
            copied += _bring(file, target / file.relative_to(source))
    return copied


def _bring(file: Path, twin: Path) -> int:
    status = file.stat()
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
