"""A launcher that wakes lets its script wait until the run has made sure that the attempt is still theirs.

While the machine slept, or the attempt's processes were stopped, its lease may have run out, and another attempt may
run by now.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from .orders import GO_ON

if TYPE_CHECKING:
    from .tree import Tree

HALT_SECONDS = 0.5  # for those that are started while all are being stopped; the next ticks find the rest
HELD_SECONDS = 7 * 3600.0  # longer than a run asks


class Clocks(NamedTuple):
    """Seconds since boot, those in which the machine slept too, and the processor time of this process."""

    boot: float
    worked: float


def clocks() -> Clocks:
    """Read both clocks."""
    return Clocks(time.clock_gettime(time.CLOCK_BOOTTIME), time.process_time())


def slept_seconds(before: Clocks, now: Clocks, tolerated: float) -> float:
    """Return for how many seconds this process did not run, 0 if that is no more than is tolerated (0: all is).

    What took long because it was much work, a sample of a large script's memory for one, is no sleep.
    """
    missed = (now.boot - before.boot) - (now.worked - before.worked)
    return missed if tolerated and missed > tolerated else 0.0


class Waking:
    """Notices that this process has slept, and holds the script's processes until the run has answered."""

    def __init__(self, tree: Tree, tolerated: float) -> None:
        """Hold this tree after more seconds without a tick than are tolerated; 0: never."""
        self._tree = tree
        self._tolerated = tolerated
        self._ticked = clocks()
        self._question = 0
        self._held_until = 0.0
        self.held = False

    def slept(self) -> float:
        """Return how many seconds have been slept since the last time; called at every tick."""
        before, self._ticked = self._ticked, clocks()
        return slept_seconds(before, self._ticked, self._tolerated)

    def hold(self) -> int:
        """Stop all of the script's processes; returns the number of the question that is to be answered."""
        self.held = True
        self._question += 1  # what is answered to an earlier one was known before this sleep
        self._held_until = time.monotonic() + HELD_SECONDS
        self._tree.halt_known()
        deadline = time.monotonic() + HALT_SECONDS
        while self._tree.halt() and time.monotonic() < deadline:
            pass
        return self._question

    def keep(self) -> bool:
        """Stop those that run again, as whoever stopped them lets them; returns False where nobody has answered."""
        self._tree.halt()
        return time.monotonic() < self._held_until

    def is_answer(self, order: str) -> bool:
        """Say whether this is the answer that lets the script go on."""
        return self.held and order == f"{GO_ON} {self._question}"

    def release(self) -> None:
        """Let the script's processes run."""
        if self.held:
            self.held = False
            self._tree.resume()
