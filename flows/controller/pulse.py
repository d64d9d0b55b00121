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
    """

    def __init__(self) -> None:
        self.report: Report | None = None
        self.listening_since: datetime = now()
        self._beaten_at = self.listening_since
        self._loops: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def beat(self, loop: str, patience_seconds: float) -> None:
        """Tell that a loop goes on; it is late when it does not tell so again within its patience.

        After a gap in the wall clock (the machine slept, this process was stopped, or the clock was set) nobody can
        have been heard: the listening begins anew, before any silence is judged. One loop does nothing but beat, so
        that a step which takes long is no gap.
        """
        with self._lock:
            moment = now()
            if abs(moment - self._beaten_at) > GAP:
                self.listening_since = moment
            self._beaten_at = moment
            self._loops[loop] = (time.monotonic(), patience_seconds)

    def listen_anew(self) -> None:
        """Tell that an instance could not be heard: nobody is blamed for its silence until now."""
        with self._lock:
            self.listening_since = now()

    def late(self) -> list[str]:
        """Return the loops that have not been heard of within their patience."""
        with self._lock:
            return [name for name, (at, patience) in self._loops.items() if time.monotonic() - at > patience]
