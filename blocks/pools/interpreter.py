"""Which Python the images' environments are made with on this machine."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from uv import find_uv_bin

from blocks.pools.command import allowed

WANTED = (3, 11)
"""The Python of the images' containers, and of their names. Their lock files hold for later ones too."""
ASK_SECONDS = 30.0


@dataclass(frozen=True)
class Interpreter:
    """A CPython of this machine: where it is, and its version as in (3, 11)."""

    path: str
    version: tuple[int, int]

    def __str__(self) -> str:
        return "Python " + ".".join(map(str, self.version))

    @property
    def tag(self) -> str:
        """Return how files for it are marked, as in `cp311`."""
        return "cp" + "".join(map(str, self.version))

    @property
    def note(self) -> str:
        """What a person must know before a script runs with it; empty for the Python that images are named after."""
        if self.version == WANTED:
            return ""
        wanted = Interpreter("", WANTED)
        return f"There is no {wanted} on this machine: images run with {self}, with the packages locked for that."


@cache
def interpreter() -> Interpreter:
    """Return the images' Python where it is installed, else the platform's own; nothing is downloaded."""
    own = Interpreter(sys.executable, sys.version_info[:2])
    return own if own.version == WANTED else installed(WANTED) or own


def installed(version: tuple[int, int]) -> Interpreter | None:
    """Return the CPython of a version that uv finds on this machine, or None."""
    words = [find_uv_bin(), "python", "find", "--no-config", "--offline", "--no-python-downloads", "--system"]
    try:
        asked = subprocess.run(
            [*words, f"cpython@{'.'.join(map(str, version))}"],
            env=allowed(os.environ, ("UV_",)),
            cwd=Path(sys.executable).parent,  # not where a file could say which Python a project wants
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Interpreter(asked.stdout.strip(), version) if asked.returncode == 0 and asked.stdout.strip() else None
