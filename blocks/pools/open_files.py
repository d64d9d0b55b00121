"""Whether the processes of an attempt have files open for writing: a script that pauses in the middle of one."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from blocks.pools import processes

FOLDER = Path("/proc")


def is_being_written(attempt_id: str, folders: Sequence[Path]) -> bool:
    """Say whether a process of an attempt has a file below one of the folders open for writing, on this machine."""
    inside = [f"{os.path.realpath(folder)}/" for folder in folders]
    return any(
        path.startswith(folder)
        for process in processes.running().get(attempt_id, [])
        for path in _open_for_writing(FOLDER / str(process.pid))
        for folder in inside
    )


def _open_for_writing(process: Path) -> list[str]:
    found: list[str] = []
    with suppress(OSError):  # it has ended, or is another user's
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                path = str(descriptor.readlink())
                if path.startswith("/") and is_for_writing((process / "fdinfo" / descriptor.name).read_text()):
                    found.append(path)
    return found


def is_for_writing(info: str) -> bool:
    """Read /proc/PID/fdinfo/N, proc(5): its flags are octal."""
    for line in info.splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return int(value, 8) & os.O_ACCMODE != os.O_RDONLY
    return False
