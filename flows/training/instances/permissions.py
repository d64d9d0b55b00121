"""A script may close its own folders; what it leaves must be read, moved and removed all the same."""

import os
from contextlib import suppress
from pathlib import Path


def open_up(folder: Path) -> None:
    """Let us into every folder of a tree; where that is refused it stays as it is."""
    let_in(folder)
    for parent, names, _ in os.walk(folder):  # from above, so that it enters what was just opened
        for inner in (Path(parent, name) for name in names):
            if not inner.is_symlink():
                let_in(inner)


def let_in(folder: Path) -> None:
    """Let us into one folder; where that is refused it stays as it is."""
    with suppress(OSError):  # another user's: whoever needs it will tell
        mode = folder.stat().st_mode
        if mode & 0o700 != 0o700:
            folder.chmod(mode & 0o7777 | 0o700)
