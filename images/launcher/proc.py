"""What the kernel tells about processes: the texts under /proc, parsed, and readers that never raise for a dead one.

Format: proc(5). A process may end between any two reads, so a reader answers None for one that is gone.
"""

from __future__ import annotations

import os
from typing import NamedTuple

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
DEAD = ("Z", "X", "x")
STOPPED = ("T", "t")  # by a signal, or by whoever traces it


class Process(NamedTuple):
    """One process at one moment; `started` (ticks since boot) tells it from a later one with the same number."""

    pid: int
    parent: int
    state: str
    cpu_ticks: int  # its own and those of its children that it has waited for
    started: int
    rss_bytes: int

    @property
    def alive(self) -> bool:
        """False for one that has ended and only waits to be reaped."""
        return self.state not in DEAD


def parse_stat(text: str) -> Process:
    """Read /proc/PID/stat. The command's name may hold blanks and parentheses: the last `)` ends it."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Process(
        pid=int(head.split(" ", 1)[0]),
        parent=int(fields[1]),
        state=fields[0],
        cpu_ticks=sum(int(field) for field in fields[11:15]),
        started=int(fields[19]),
        rss_bytes=int(fields[21]) * PAGE_BYTES,
    )


def carries(environ: bytes, marks: frozenset[bytes]) -> bool:
    """Tell whether the text of /proc/PID/environ holds every one of the marks, each `NAME=value`."""
    return marks.issubset(environ.split(b"\0"))


def parse_pss(rollup: str) -> int | None:
    """Return the bytes in /proc/PID/smaps_rollup that are this process's share; None where the text has none."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None


def pids() -> list[int]:
    """Return the number of every process that can be seen, lowest first."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 (called ten times a second)


def read(path: str) -> bytes | None:
    """Return the bytes of a file under /proc or /sys; None where it, or the process, is gone or not ours to read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (called ten times a second)
            return file.read()
    except OSError:
        return None


def process(pid: int) -> Process | None:
    """Return the process with this number; None if there is none."""
    text = read(f"/proc/{pid}/stat")
    return parse_stat(text.decode(errors="replace")) if text else None


def children(pid: int) -> list[int]:
    """Return the children of a process's first thread, ended ones included; none if the kernel does not say."""
    return [int(number) for number in (read(f"/proc/{pid}/task/{pid}/children") or b"").split()]


def marked(pid: int, marks: frozenset[bytes]) -> bool:
    """Tell whether the environment that this process was started with holds every mark."""
    return carries(read(f"/proc/{pid}/environ") or b"", marks)


def pss_bytes(pid: int) -> int | None:
    """Return this process's share of memory in bytes; None where the kernel does not say (or not us)."""
    text = read(f"/proc/{pid}/smaps_rollup")
    return parse_pss(text.decode(errors="replace")) if text else None


def rss_bytes(pid: int) -> int:
    """Return the bytes of this process that are in memory, shared ones counted in full; 0 if it is gone."""
    text = read(f"/proc/{pid}/statm")
    return int(text.split()[1]) * PAGE_BYTES if text else 0
