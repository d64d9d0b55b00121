"""What a person changes of a record, and what MLflow must still be told of it: the record is the truth."""

from collections.abc import Mapping

from sqlalchemy import null, select
from sqlalchemy.orm import Session

from blocks.records.tables import Experiment, Training, now
from blocks.records.transitions import note

Row = Experiment | Training
COPIED = ("description", "tags", "mlflow_owed")


def change(
    session: Session, row: Row, *, description: str | None = None, tags: Mapping[str, str] | None = None
) -> None:
    """Change the description and the tags (all of them at once); MLflow is owed the change until it was told."""
    before = row.tags
    if description is not None:
        row.description = description
    if tags is not None:
        row.tags = dict(tags)
    row.mlflow_owed = sorted({*(row.mlflow_owed or []), *before} - row.tags.keys())
    row.changed_at = now()
    note(session, row, "Description or tags were changed; MLflow follows.")


def owed(session: Session) -> list[Row]:
    """Return what has a copy in MLflow that is behind, the longest behind first."""
    groups = select(Experiment).where(Experiment.mlflow_owed.is_not(null()), Experiment.mlflow_id != "")
    runs = select(Training).where(Training.mlflow_owed.is_not(null()), Training.mlflow_run_id != "")
    found: list[Row] = [*session.scalars(groups), *session.scalars(runs).unique()]
    return sorted(found, key=lambda row: row.changed_at)


def told(row: Row, sent: Row) -> None:
    """Note that MLflow has what was `sent`; a record that was changed meanwhile stays owed."""
    if all(getattr(row, name) == getattr(sent, name) for name in COPIED):
        row.mlflow_owed = None
