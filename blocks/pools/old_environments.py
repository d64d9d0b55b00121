"""Environments that are of no more use: those that no lock file names any more, and builds that died half way.

A folder is only removed under its own lock, and loses its marker first: whoever looks at half of it sees none.
"""

import fcntl
import math
import os
import re
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from blocks.pools.environments import COMPLETE, Environments

NAMED = re.compile(r"(?P<image>[^.].*)-[0-9a-f]{12}")
UNUSED_SECONDS = 3600.0  # an operator who goes back to the version before finds its environments
HALF_BUILT_SECONDS = 86400.0
READ = ("cmdline", "environ", "maps")


@dataclass(frozen=True)
class Old:
    """An environment that is of no more use.

    Attributes:
        folder: where it is.
        image: the image that it was made for.
        is_half_built: its build died, whether or not a lock file still names it.
    """

    folder: Path
    image: str
    is_half_built: bool


def old(environments: Environments) -> list[Old]:
    """Return what is of no more use: unused for an hour, or half built and left alone for a day."""
    wanted = {environments.folder(image) for image in environments.names()}
    if not wanted or not environments.root.is_dir():  # a checkout without lock files is none to judge by
        return []
    found: list[Old] = []
    for folder in sorted(environments.root.iterdir()):
        named = NAMED.fullmatch(folder.name)
        if named is None or not folder.is_dir() or folder.is_symlink():
            continue
        is_half_built = not (folder / COMPLETE).exists()
        patience = HALF_BUILT_SECONDS if is_half_built else UNUSED_SECONDS
        if (is_half_built or folder not in wanted) and time.time() - used_at(folder) > patience:
            found.append(Old(folder, named["image"], is_half_built))
    return found


def used_at(folder: Path) -> float:
    """Return when somebody last used, built or began to build an environment, in seconds since 1970."""
    signs = (folder, folder / COMPLETE, lock_of(folder))
    return max(sign.stat().st_mtime for sign in signs if sign.exists())


def lock_of(folder: Path) -> Path:
    """Return the lock that is held by whoever builds an environment."""
    return folder.with_name(f".{folder.name}.lock")


def made_at(environments: Environments, image: str) -> float:
    """Return since when there is the environment that an image's lock file names, in seconds; infinity without one."""
    if image not in environments.names() or not environments.installed(image):
        return math.inf
    return (environments.folder(image) / "pyvenv.cfg").stat().st_mtime


def in_use(folders: Collection[Path], processes: Path = Path("/proc")) -> set[Path]:
    """Return those of the folders from which a process of this machine runs, or whose path it was given."""
    found: set[Path] = set()
    signs = {folder: {f"{folder}/".encode(), f"{os.path.realpath(folder)}/".encode()} for folder in folders}
    for process in processes.glob("[0-9]*") if signs else ():
        for name in READ:
            try:
                text = (process / name).read_bytes()
            except OSError:  # it has ended, or is another user's
                continue
            found |= {folder for folder, paths in signs.items() if any(path in text for path in paths)}
    return found


def remove(environments: Environments, environment: Old) -> bool:
    """Remove an environment, unless somebody builds, has built or uses it by now; returns whether it was removed."""
    lock = lock_of(environment.folder)
    if not lock.exists():
        lock.touch()
        os.utime(lock, (0, 0))  # nobody began to build
    with lock.open("a") as handle:  # which changes no time
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if environment not in old(environments):
            return False
        (environment.folder / COMPLETE).unlink(missing_ok=True)
        shutil.rmtree(environment.folder, ignore_errors=True)
        return not environment.folder.exists()
