"""An experiment as people see it: the same words in the terminal, as JSON and on Prefect's pages."""

from collections.abc import Sequence
from typing import Any

from blocks.records.tables import Event, Experiment, Training
from blocks.tracking import Tracking


def summary(row: Experiment, trainings: int, tracking: Tracking) -> dict[str, Any]:
    """Return a line of the list."""
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "reason": row.reason,
        "message": row.message,
        "description": row.description,
        "tags": row.tags,
        "trainings": trainings,
        "created_at": row.created_at.isoformat(),
        "changed_at": row.changed_at.isoformat(),
        "mlflow_experiment_id": row.mlflow_id,
        "mlflow_page": tracking.experiment_page(row.mlflow_id) if row.mlflow_id else "",
    }


def detail(
    row: Experiment, trainings: Sequence[Training], events: Sequence[Event], tracking: Tracking
) -> dict[str, Any]:
    """Return all of it: its trainings and its events too."""
    return summary(row, len(trainings), tracking) | {
        "trainings": [{"id": t.id, "name": t.name, "state": t.state, "reason": t.reason} for t in trainings],
        "events": [event_line(event) for event in events],
    }


def event_line(event: Event) -> dict[str, Any]:
    """Return what happened, and when."""
    return {
        "time": event.time.isoformat(),
        "state": event.state,
        "reason": event.reason,
        "message": event.message,
    }
