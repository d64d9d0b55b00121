"""One after the other, where a part that is away or a record that always fails must not hold up all that come after."""

import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from blocks.errors import Temporary
from blocks.records.changes import Row
from blocks.records.tables import Attempt

LONGEST_PAUSE_SECONDS = 30.0
FAULTS_A_ROUND = 3  # a part that is away altogether must not keep a round from all else that it does
JITTER = 0.1  # of a pause, at most, less than that: what failed together need not come back together

R = TypeVar("R", bound=Row | Attempt)


def pause_after(failures: int) -> float:
    """Return for how many seconds a record is left alone after so many failures in a row, of which there is one."""
    return min(2.0 ** min(failures, 10), LONGEST_PAUSE_SECONDS)


class InTurn:
    """Does one thing for every record; one that fails holds up no other, and is tried less and less often."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def each(self, rows: Iterable[R], do: Callable[[R], None]) -> None:
        """Do it for all that are due; what is not among these rows any more is forgotten.

        Those that have failed come after those that have not: many of them leave the others their turn.

        Raises:
            Temporary: the first that failed. After three the others wait for the next round.
        """
        due = self._due(rows)
        faults: list[Temporary] = []
        for row in due:
            if len(faults) == FAULTS_A_ROUND:
                break
            try:
                do(row)
            except Temporary as error:
                faults.append(error)
                self._pause(row.id)
        if faults:
            raise faults[0]

    def _due(self, rows: Iterable[R]) -> list[R]:
        by_id = {row.id: row for row in rows}
        for row_id in self._failures.keys() - by_id.keys():
            del self._failures[row_id], self._not_before[row_id]
        due = [row for row_id, row in by_id.items() if self._not_before.get(row_id, 0.0) <= self._clock()]
        return sorted(due, key=lambda row: self._failures.get(row.id, 0))

    def _pause(self, row_id: str) -> None:
        self._failures[row_id] = self._failures.get(row_id, 0) + 1
        jitter = random.uniform(1 - JITTER, 1)  # noqa: S311 (nobody gains by guessing it)
        self._not_before[row_id] = self._clock() + pause_after(self._failures[row_id]) * jitter
