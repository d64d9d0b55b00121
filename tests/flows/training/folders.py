"""Folders of files, and what is in them."""

import os
from pathlib import Path

FILES = {"model.pt": b"m" * 5000, "state/옵티마이저.bin": b"o", "empty": b""}


def fill(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def texts(folder: Path) -> dict[str, str]:
    return {name: data.decode() for name, data in content(folder).items()}


def silent(_what: str, _share: float) -> None:
    """Progress that nobody looks at."""


def give_away(root: Path) -> None:
    """Give a test's folders to the user that `unprivileged` becomes, and let it reach them."""
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
        for above in (one for one in root.parents if one.stat().st_mode & 0o055 != 0o055):
            above.chmod(0o755)
