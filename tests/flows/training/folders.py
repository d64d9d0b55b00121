"""Folders of files, and what is in them."""

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
