"""Room on this machine's disk: what comes in may find it full, with another training's files that will go."""

import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from blocks.catalogue.catalogue import GIB
from blocks.errors import BlockError
from blocks.storage.errors import NoSpace


@contextmanager
def in_room(what: str, *folders: Path) -> Generator[None]:
    """Copy into folders: half a copy is removed, for it holds room that the next try, or another's, needs."""
    empty(folders)
    try:
        yield
    except BlockError as error:
        empty(folders)
        if not isinstance(error, NoSpace):
            raise
        free = shutil.disk_usage(folders[0]).free / GIB
        problem = f"This machine's disk has no room for {what}: {free:.1f} GB are free."
        raise NoSpace(problem, str(error)) from error


def empty(folders: Sequence[Path]) -> None:
    """Remove all that lies in folders."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
