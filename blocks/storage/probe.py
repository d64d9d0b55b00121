"""Trying out a place to write to, on one small file."""

from collections.abc import Callable
from contextlib import suppress

from blocks.storage.errors import StorageError

CONTENT = b"probe"


def write_read_remove(write: Callable[[], object], read: Callable[[], object], remove: Callable[[], object]) -> None:
    """Do what a user of the place will do; the first thing that fails is what is told.

    Only what was written is removed: where writing failed, a removal would fail the same way, after as long a wait.

    Raises:
        StorageError: of the first that failed.
    """
    write()
    try:
        read()
    except StorageError:
        with suppress(StorageError):
            remove()
        raise
    remove()
