"""How much memory a tree of processes has, whether that is too much, and whether the kernel had to kill for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import proc

if TYPE_CHECKING:
    from collections.abc import Iterable

FAR_OVER = 1.10


def verdict(used_bytes: int, limit_bytes: int) -> str:
    """Say `within`, `over` (end it, with a moment to clean up) or `far` (kill it before the machine suffers).

    A limit of 0 is none.
    """
    if not limit_bytes or used_bytes <= limit_bytes:
        return "within"
    return "far" if used_bytes > limit_bytes * FAR_OVER else "over"


def share_bytes(processes: Iterable[proc.Process]) -> int:
    """Return what these processes have in memory: shared pages are divided among those who share them (PSS).

    Where the kernel does not tell the share, the whole of what is resident counts (RSS).
    """
    total = 0
    for process in processes:
        pss = proc.pss_bytes(process.pid)
        total += process.rss_bytes if pss is None else pss
    return total


def parse_oom_kills(text: str) -> int | None:
    """Return the count behind `oom_kill` in memory.events, memory.oom_control or vmstat; None where there is none."""
    for line in text.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return None


def counter_files(cgroups: str) -> list[str]:
    """Return where the kernel counts its kills, the nearest first, from the text of /proc/self/cgroup.

    In a container the group's own path may not be visible: there its files lie at the root of the mount. The machine's
    own counter comes last.
    """
    files: list[str] = []
    for line in cgroups.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            files += [f"/sys/fs/cgroup{path.rstrip('/')}/memory.events", "/sys/fs/cgroup/memory.events"]
        elif "memory" in controllers.split(","):
            mount = "/sys/fs/cgroup/memory"
            files += [f"{mount}{path.rstrip('/')}/memory.oom_control", f"{mount}/memory.oom_control"]
    return [*files, "/proc/vmstat"]


def oom_kills() -> int:
    """Return how many processes of this control group the kernel has killed for want of memory; 0 if unknown."""
    cgroups = (proc.read("/proc/self/cgroup") or b"").decode(errors="replace")
    for file in counter_files(cgroups):
        text = proc.read(file)
        count = parse_oom_kills(text.decode(errors="replace")) if text else None
        if count is not None:
            return count
    return 0
