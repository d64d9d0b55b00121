"""The files below a folder of this machine, without what a link would bring in from outside."""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from blocks.storage.errors import Unsafe
from blocks.storage.location import key_fault

LIMIT = 1_000_000
"""Files and folders of one walk: links to folders inside can multiply them without end."""
PARTIAL = ".emf-part"
"""How the name of a file ends that is still being written; a walk passes over those."""


@dataclass(frozen=True)
class Found:
    """One regular file: its path relative to the folder, where it is, and what `os.stat` said of it."""

    key: str
    path: Path
    status: os.stat_result


def touched(real: Path, closed: Collection[Path]) -> Path | None:
    """Return the first of the `closed` folders that a path without links is in, or around."""
    return next((folder for folder in closed if real.is_relative_to(folder) or folder.is_relative_to(real)), None)


def walk(
    folder: Path,
    boundary: Path,
    leave_out: Callable[[str, str], None],
    skip: Callable[[str], bool] | None = None,
    closed: Collection[Path] = (),
) -> Iterator[Found]:
    """Yield the regular files below `folder`, in order of their names; links are followed while inside `boundary`.

    Args:
        folder: where to start.
        boundary: a link whose end is not below this folder is not followed.
        leave_out: told the relative path and the reason of everything that is left out, except by `skip`.
        skip: asked with each relative path; a folder that it names is not entered.
        closed: folders, without links in their paths, that no link is followed into or around.

    Raises:
        Unsafe: more than `LIMIT` files and folders.
        OSError: a folder is there and cannot be listed, or the first is not there.
    """
    inside = boundary.resolve()
    count = 0
    # each folder with the real folders that lead to it: a link to one of those would never end
    waiting: list[tuple[str, Path, frozenset[Path]]] = [("", folder, frozenset([folder.resolve()]))]
    while waiting:
        prefix, current, above = waiting.pop()
        deeper: list[tuple[str, Path, frozenset[Path]]] = []
        try:
            items = _listed(current)
        except (FileNotFoundError, NotADirectoryError):
            if not prefix:
                raise
            leave_out(prefix.removesuffix("/"), "gone meanwhile")
            continue
        for item in items:
            count += 1
            if count > LIMIT:
                raise Unsafe(f"{folder} holds more than {LIMIT} files and folders.", "Pack them, or split the folder.")
            key, path = prefix + item.name, Path(item.path)
            if item.name.endswith(PARTIAL) or (skip is not None and skip(key)):
                continue
            status, reason = _judge(key, path, inside, above, closed)
            if status is None:
                leave_out(key, reason)
            elif stat.S_ISDIR(status.st_mode):
                deeper.append((f"{key}/", path, above | {path.resolve()}))
            else:
                yield Found(key, path, status)
        waiting.extend(reversed(deeper))


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listing:
        return sorted(listing, key=lambda entry: entry.name)


def _judge(
    key: str, path: Path, inside: Path, above: frozenset[Path], closed: Collection[Path]
) -> tuple[os.stat_result | None, str]:
    """Return the status of what may be taken, else None and the reason."""
    if key_fault(key):
        return None, "its name holds characters that no path can have"
    try:
        real = path.resolve() if path.is_symlink() else path
        status = path.stat()
    except FileNotFoundError:
        return None, "a link to nothing, or gone meanwhile"
    except (OSError, RuntimeError) as error:
        return None, f"a link that leads in a circle, or unreadable ({type(error).__name__})"
    if real is not path and (reason := _link_fault(real, inside, above, closed)):
        return None, reason
    wanted = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
    return (status, "") if wanted else (None, "neither a file nor a folder")


def _link_fault(real: Path, inside: Path, above: frozenset[Path], closed: Collection[Path]) -> str:
    """Return why a link that ends at `real` is not followed, or an empty text."""
    if not real.is_relative_to(inside):
        return "a link that leaves the folder"
    if touched(real, closed):
        return "a link to the platform's own folder, or around it"
    return "a link to a folder that it is in" if real in above else ""
