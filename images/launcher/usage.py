"""What a script uses, sampled: memory against its limit, and processor time."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

from . import memory, proc

if TYPE_CHECKING:
    from .tree import Tree

SAMPLE_SECONDS = 0.5
SAMPLE_SHARE = 10  # a sample that takes long is followed by a rest of ten times as long
CONFIRM_SECONDS = 0.03


class Usage:
    """The memory and processor time of one tree. Sizes in bytes; a limit of 0 is none."""

    def __init__(self, tree: Tree, limit_bytes: int) -> None:
        """Measure this tree against this limit."""
        self._tree = tree
        self._limit = limit_bytes
        self._next = 0.0
        self._rss_bytes = 0
        self._oom_kills = memory.oom_kills()
        self.memory_bytes = 0
        self.peak_bytes = 0

    @property
    def verdict(self) -> str:
        """`within`, `over` or `far`: the latest sample against the limit."""
        return memory.verdict(self.memory_bytes, self._limit)

    @property
    def oom_kills(self) -> int:
        """How many processes the kernel has killed for want of memory since the start, here or in this group."""
        return max(0, memory.oom_kills() - self._oom_kills)

    def sample(self, now: float) -> None:
        """Measure, if it is time (monotonic seconds) or memory has grown so quickly that it must be known now."""
        if now < self._next and not self._suspicious():
            return
        measured = self._measure()
        if memory.verdict(measured, self._limit) != "within":
            # A child between vfork and exec shows its parent's memory a second time: such a moment must not kill.
            time.sleep(CONFIRM_SECONDS)
            measured = min(measured, self._measure())
        self.memory_bytes = measured
        self.peak_bytes = max(self.peak_bytes, measured)
        done = time.monotonic()
        self._next = now + max(SAMPLE_SECONDS, SAMPLE_SHARE * (done - now))

    def _measure(self) -> int:
        processes = self._tree.scan()
        self._rss_bytes = sum(process.rss_bytes for process in processes)
        return memory.share_bytes(processes)

    def _suspicious(self) -> bool:
        """Estimate cheaply, from what is resident: forks count shared pages many times, so only the growth tells."""
        if not self._limit:
            return False
        growth = max(0, self._tree.rss_bytes() - self._rss_bytes)
        return self.memory_bytes + growth > self._limit

    def cpu_seconds(self) -> float:
        """Return the processor time of all of its processes so far, ended ones included."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        ticks = sum(process.cpu_ticks for process in self._tree.latest)
        return round(ended.ru_utime + ended.ru_stime + ticks / proc.TICKS_PER_SECOND, 2)
