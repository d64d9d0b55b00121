"""Who is at work on a folder, and whether anybody is: a lock on the folder itself, which goes with its process.

Nothing is written: the folder may lie on a disk that is full, and be all that can be removed to make room.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def at_work(folder: Path) -> Generator[bool]:
    """Be at work on a folder; says whether nobody else is, or just looks whether somebody is.

    Raises:
        OSError: the folder cannot be opened.
    """
    with _locked(folder, fcntl.LOCK_EX) as mine:
        yield mine


def is_at_work(folder: Path) -> bool:
    """Say whether somebody is at work on a folder; who was killed is not."""
    try:
        with _locked(folder, fcntl.LOCK_SH) as is_free:
            return not is_free
    except OSError:  # it has just gone
        return False


@contextmanager
def _locked(folder: Path, how: int) -> Generator[bool]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
