"""TensorBoard's files while the script writes them: what is new is appended to a mirror that TensorBoard reads."""

import shutil
from pathlib import Path


def mirror(source: Path, target: Path) -> int:
    """Bring the mirror up to date and return how many bytes were copied.

    Event files only grow, so the part that is new is appended; a file that shrank or was replaced is copied anew.
    """
    copied = 0
    for file in sorted(source.rglob("*")):
        if not file.is_file() or file.is_symlink():
            continue
        twin = target / file.relative_to(source)
        size, have = file.stat().st_size, twin.stat().st_size if twin.exists() else 0
        if size == have:
            continue
        twin.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as new, twin.open("ab" if have < size else "wb") as old:
            new.seek(old.tell())
            shutil.copyfileobj(new, old)
        copied += size - have if have < size else size
    return copied
