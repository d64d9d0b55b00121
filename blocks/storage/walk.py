"""The files below a folder of this machine, without what a link would bring in from outside."""

import os
import stat
from collections.abc import Callable, Iterator
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


def walk(
    folder: Path, boundary: Path, leave_out: Callable[[str, str], None], skip: Callable[[str], bool] | None = None
) -> Iterator[Found]:
    """Yield the regular files below `folder`, in order of their names; links are followed while inside `boundary`.

    Args:
        folder: where to start.
        boundary: a link whose end is not below this folder is not followed.
        leave_out: told the relative path and the reason of everything that is left out, except by `skip`.
        skip: asked with each relative path; a folder that it names is not entered.

    Raises:
        Unsafe: more than `LIMIT` files and folders.
        OSError: a folder cannot be listed.
    """
    inside = boundary.resolve()
    count = 0
    # each folder with the real folders that lead to it: a link to one of those would never end
    waiting: list[tuple[str, Path, frozenset[Path]]] = [("", folder, frozenset([folder.resolve()]))]
    while waiting:
        prefix, current, above = waiting.pop()
        deeper: list[tuple[str, Path, frozenset[Path]]] = []
        for item in sorted(_listed(current), key=lambda entry: entry.name):
            count += 1
            if count > LIMIT:
                raise Unsafe(f"{folder} holds more than {LIMIT} files and folders.", "Pack them, or split the folder.")
            key, path = prefix + item.name, Path(item.path)
            if item.name.endswith(PARTIAL) or (skip is not None and skip(key)):
                continue
            status, reason = _judge(key, path, inside, above)
            if status is None:
                leave_out(key, reason)
            elif stat.S_ISDIR(status.st_mode):
                deeper.append((f"{key}/", path, above | {path.resolve()}))
            else:
                yield Found(key, path, status)
        waiting.extend(reversed(deeper))


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listing:
        return list(listing)


def _judge(key: str, path: Path, inside: Path, above: frozenset[Path]) -> tuple[os.stat_result | None, str]:
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
    if real is not path and not real.is_relative_to(inside):
        return None, "a link that leaves the folder"
    if stat.S_ISDIR(status.st_mode):
        return (None, "a link to a folder that it is in") if real in above else (status, "")
    return (status, "") if stat.S_ISREG(status.st_mode) else (None, "neither a file nor a folder")
