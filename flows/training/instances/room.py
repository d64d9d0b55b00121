"""Room on this machine's disk: what comes in may find it full, with another training's files that will go."""

import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from blocks.catalogue.catalogue import GIB
from blocks.errors import BlockError
from blocks.storage.errors import NoSpace, StorageError
from blocks.storage.os_errors import os_faults


@contextmanager
def in_room(what: str, *folders: Path) -> Generator[None]:
    """Copy into folders: half a copy is removed, for it holds room that the next try, or another's, needs."""
    try:
        empty(folders)
        yield
    except BlockError as error:
        with suppress(StorageError):  # what failed first is told; the next try empties them first
            empty(folders)
        if not isinstance(error, NoSpace):
            raise
        problem = f"This machine's disk has no room for {what}: {_free(folders[0]) / GIB:.1f} GB are free."
        raise NoSpace(problem, str(error)) from error


def empty(folders: Sequence[Path]) -> None:
    """Remove all that lies in folders.

    Raises:
        blocks.storage.errors.StorageError: one cannot be made anew, as on a disk that is full.
    """
    for folder in folders:
        with os_faults(folder, "make"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)


def _free(folder: Path) -> int:
    """Return the bytes that are free on a folder's disk; it may be the folder that found no room."""
    return shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free
