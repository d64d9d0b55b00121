"""Signs of life of the controller: since when it hears instances, when each loop last did something, what it saw."""

import threading
import time
from datetime import datetime, timedelta

from blocks.records.tables import now
from flows.reconcile.report import Report

GAP = timedelta(seconds=5)  # shorter than any lease, and far longer than the second between two beats of one loop


class Pulse:
    """Beaten by the loops, read by the door and the boards. Thread-safe.

    Attributes:
        report: how the last look at records and world went; None before the first.
        thorough: how the last one went that also looked for what was left behind.
    """

    def __init__(self) -> None:
        self.report: Report | None = None
        self.thorough: Report | None = None
        self._since = self._beaten_at = now()
        self._loops: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def beat(self, loop: str, patience_seconds: float) -> None:
        """Tell that a loop goes on; it is late when it does not tell so again within its patience.

        One loop does nothing but beat, so that a step which takes long is no gap.
        """
        with self._lock:
            self._mind_a_gap()
            self._loops[loop] = (time.monotonic(), patience_seconds)

    @property
    def listening_since(self) -> datetime:
        """Since when instances are heard, by the clock as it is set now: before it, nobody is blamed for silence."""
        with self._lock:
            self._mind_a_gap()
            return self._since

    def _mind_a_gap(self) -> None:
        """Listen anew after a gap in the wall clock: nobody can have been heard.

        The machine slept, this process was stopped, or the clock was set.
        """
        moment = now()
        if abs(moment - self._beaten_at) > GAP:
            self._since = moment
        self._beaten_at = moment

    def listen_anew(self) -> None:
        """Tell that an instance could not be heard: nobody is blamed for its silence until now."""
        with self._lock:
            self._since = now()

    def late(self) -> list[str]:
        """Return the loops that have not been heard of within their patience."""
        with self._lock:
            return [name for name, (at, patience) in self._loops.items() if time.monotonic() - at > patience]
