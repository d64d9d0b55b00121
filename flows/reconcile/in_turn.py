"""One after the other, where a part that is away or a record that always fails must not hold up all that come after."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from blocks.errors import Temporary
from blocks.records.changes import Row
from blocks.records.tables import Attempt

LONGEST_PAUSE_SECONDS = 30.0
FAULTS_A_ROUND = 3  # a part that is away altogether must not keep a round from all else that it does
JITTER = 0.1  # of a pause, at most, less than that: what failed together need not come back together

R = TypeVar("R", bound=Row | Attempt)


def pause_after(failures: int, longest: float = LONGEST_PAUSE_SECONDS) -> float:
    """Return for how many seconds a record is left alone after so many failures in a row, of which there is one."""
    return min(2.0 ** min(failures, 10), longest)


class InTurn:
    """Has one thing done for every record; one that fails holds up no other, and is tried less and less often.

    Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, longest: float = LONGEST_PAUSE_SECONDS) -> None:
        self._clock, self._longest = clock, longest
        self._failures: dict[str, int] = {}
        self._failing_since: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._lock = threading.Lock()

    def each(self, rows: Iterable[R], do: Callable[[R], None]) -> None:
        """Do it for all that are due.

        Raises:
            Temporary: the first that failed. After three the others wait for the next round.
        """
        by_id = {row.id: row for row in rows}
        faults: list[Temporary] = []
        for row_id in self.due(by_id):
            try:
                do(by_id[row_id])
            except Temporary as error:
                faults.append(error)
                self.failed(row_id)
            if len(faults) == FAULTS_A_ROUND:
                break
        if faults:
            raise faults[0]

    def due(self, ids: Iterable[str]) -> Iterator[str]:
        """Return those of these that are due when their turn comes; what is not among these any more is forgotten.

        Those that have failed come after those that have not: many of them leave the others their turn.
        """
        with self._lock:
            known = set(ids := list(ids))
            for row_id in self._failures.keys() - known:
                del self._failures[row_id], self._failing_since[row_id], self._not_before[row_id]
            ids.sort(key=lambda row_id: self._failures.get(row_id, 0))
        return (row_id for row_id in ids if self._not_before.get(row_id, 0.0) <= self._clock())

    def failed(self, row_id: str) -> None:
        """Leave it alone for a while, the longer the more often it failed."""
        jitter = random.uniform(1 - JITTER, 1)  # noqa: S311 (nobody gains by guessing it)
        with self._lock:
            moment = self._clock()
            self._failures[row_id] = self._failures.get(row_id, 0) + 1
            self._failing_since.setdefault(row_id, moment)
            self._not_before[row_id] = moment + pause_after(self._failures[row_id], self._longest) * jitter

    def failing_for(self, row_id: str) -> float:
        """Return how many seconds ago it failed first; 0 where it has not."""
        moment = self._clock()
        return moment - self._failing_since.get(row_id, moment)
