"""What a control group (version 2) leaves of a machine to the processes in it: a container, a systemd unit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Limit = TypeVar("Limit", int, float)


@dataclass(frozen=True)
class Limits:
    """The memory (bytes) and the processors that the group may use; None where nothing limits them."""

    memory_bytes: int | None = None
    vcpus: float | None = None


def limits(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Limits:
    """Return the tightest limits of this process's group and of all groups around it."""
    group = path_of(_text(own))
    if group is None:
        return Limits()
    folder = root / group.lstrip("/")
    around = [one for one in (folder, *folder.parents) if one.is_relative_to(root)]
    return Limits(
        _tightest(around, "memory.max", memory_limit),
        _tightest(around, "cpu.max", cpu_limit),
    )


def path_of(text: str) -> str | None:
    """Return the group that `/proc/self/cgroup` names; None where the machine has version 1 alone."""
    return next((line.removeprefix("0::") for line in text.splitlines() if line.startswith("0::")), None)


def memory_limit(text: str) -> int | None:
    """Read `memory.max`: bytes, or `max`."""
    return int(text) if text.strip().isdecimal() else None


def cpu_limit(text: str) -> float | None:
    """Read `cpu.max`: the microseconds of processor time in each period, or `max`, and the period."""
    quota, _, period = text.strip().partition(" ")
    if not quota.isdecimal() or not period.isdecimal() or not int(period):
        return None
    return int(quota) / int(period)


def _tightest(folders: list[Path], file: str, read: Callable[[str], Limit | None]) -> Limit | None:
    found: Iterator[Limit | None] = (read(_text(folder / file)) for folder in folders)
    return min((limit for limit in found if limit is not None), default=None)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
