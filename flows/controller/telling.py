"""MLflow's copy of descriptions and tags: it follows the records as soon as MLflow is there."""

import time
from collections.abc import Callable

from blocks.errors import Permanent, Temporary
from blocks.platform import Platform
from blocks.records import changes
from blocks.records.tables import Experiment
from blocks.records.transitions import note

LONGEST_PAUSE_SECONDS = 60.0
FAULTS_A_ROUND = 3  # an MLflow that is away altogether must not keep a round from all else that it does


def pause_after(failures: int) -> float:
    """Return for how many seconds a record is left alone after so many failures in a row, of which there is one."""
    return min(2.0 ** min(failures, 10), LONGEST_PAUSE_SECONDS)


class Telling:
    """Tells MLflow of what was changed; a record that fails holds up no other, and is asked for less and less often."""

    def __init__(self, platform: Platform, clock: Callable[[], float] = time.monotonic) -> None:
        self._platform, self._clock = platform, clock
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def tell_changes(self) -> None:
        """Give MLflow the description and tags of everything that was changed since it was told.

        Raises:
            Temporary: the first that failed; what was not told stays owed.
        """
        with self._platform.records.reading() as session:
            owed = changes.owed(session)
        self._remember_only({row.id for row in owed})
        faults: list[Temporary] = []
        for row in owed:
            if len(faults) == FAULTS_A_ROUND:
                break
            if self._not_before.get(row.id, 0.0) > self._clock():
                continue
            try:
                _tell(self._platform, row)
            except Temporary as error:
                faults.append(error)
                self._pause(row.id)
        if faults:
            raise faults[0]

    def _pause(self, row_id: str) -> None:
        self._failures[row_id] = self._failures.get(row_id, 0) + 1
        self._not_before[row_id] = self._clock() + pause_after(self._failures[row_id])

    def _remember_only(self, owed: set[str]) -> None:
        """Forget the failures of what has been told, or is gone."""
        for row_id in self._failures.keys() - owed:
            del self._failures[row_id], self._not_before[row_id]


def _tell(platform: Platform, row: changes.Row) -> None:
    refusal = _refusal(platform, row)
    with platform.records.writing() as session:
        fresh = session.get(type(row), row.id)
        if fresh is None:
            return
        changes.told(fresh, row)
        if refusal:
            note(session, fresh, f"MLflow did not take its description and tags: {refusal}")


def _refusal(platform: Platform, row: changes.Row) -> str:
    """Tell MLflow of one; return why it refused, and will whenever it is asked, or ""."""
    gone = row.mlflow_owed or []
    try:
        if isinstance(row, Experiment):
            platform.tracking.change_experiment(row.mlflow_id, row.description, row.tags, gone=gone)
        else:
            platform.tracking.change_run(row.mlflow_run_id, row.description, row.tags, gone=gone)
    except Permanent as error:
        return str(error)
    return ""
