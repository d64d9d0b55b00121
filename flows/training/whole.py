"""Folders that are there as a whole or not at all, whenever one is killed and whenever the power goes.

What its name promises holds: a folder gets its name once the disk has all of it, and loses it before any of it goes.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG


def put(coming: Path, target: Path) -> None:
    """Give a folder on the same disk the name that says that it is whole, and wait until that is on the disk.

    Raises:
        OSError: it cannot be renamed, or the disk cannot hold it.
    """
    for parent, _, files in os.walk(coming):
        for name in files:
            _sync(Path(parent, name))
        _sync(Path(parent))
    coming.rename(target)
    with suppress(OSError):  # the rename stands
        _sync(target.parent)


def discard(folder: Path) -> None:
    """Remove a folder, as far as that goes; none is fine."""
    going = folder.with_name(f"{folder.name}.going")
    shutil.rmtree(going, ignore_errors=True)  # of who was killed in the middle of this
    with suppress(FileNotFoundError):
        folder.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until the disk has a file or a folder; what cannot be read, or is neither, is nobody's content."""
    if not (S_ISREG(mode := path.lstat().st_mode) or S_ISDIR(mode)):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
