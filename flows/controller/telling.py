"""MLflow's copy of descriptions and tags: it follows the records as soon as MLflow is there."""

from blocks.errors import Permanent
from blocks.platform import Platform
from blocks.records import changes
from blocks.records.tables import Experiment
from blocks.records.transitions import note
from flows.reconcile.in_turn import InTurn


class Telling:
    """Tells MLflow of what was changed, each record in its turn."""

    def __init__(self, platform: Platform, in_turn: InTurn) -> None:
        self._platform, self._in_turn = platform, in_turn

    def tell_changes(self) -> None:
        """Give MLflow the description and tags of everything that was changed since it was told.

        Raises:
            Temporary: the first that failed; what was not told stays owed.
        """
        with self._platform.records.reading() as session:
            owed = changes.owed(session)
        self._in_turn.each(owed, lambda row: _tell(self._platform, row))


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
