"""A training as people see it: the same words in the terminal, as JSON and on Prefect's pages."""

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.records.tables import Attempt, Event, Training
from blocks.records.trainings import ran_seconds, seconds_trained
from blocks.records.words import Phase, TrainingState
from blocks.settings import Settings
from blocks.tracking import Tracking
from flows.experiment.view import event_line
from flows.markdown import duration
from flows.training.assignment import output_of


def summary(row: Training) -> dict[str, Any]:
    """Return a line of the list."""
    return {
        "id": row.id,
        "name": row.name,
        "experiment": row.experiment.name,
        "state": row.state,
        "reason": row.reason,
        "message": doing(row),
        "created_at": row.created_at.isoformat(),
        "seconds_trained": round(seconds_trained(row), 1),
        "image": row.image,
        "instance_type": row.instance_type,
        "description": row.description,
        "tags": row.tags,
        "request": row.request,
    }


def doing(row: Training) -> str:
    """Return what there is to say of its state: what it waits for, how far it is, why it ended."""
    current = row.attempts[-1] if row.attempts else None
    if current is None or current.ended_at is not None:
        return row.message
    if current.phase == Phase.GRANTED:
        return current.progress or "its run is starting"
    return current.progress or row.message


def detail(row: Training, events: Sequence[Event], where: Settings) -> dict[str, Any]:
    """Return all of it."""
    output = output_of(row.request["output_path"], row.id)
    has_model = row.state == TrainingState.COMPLETE and row.evidence.get("model_files", 0) > 0
    return summary(row) | {
        "evidence": row.evidence if row.ended_at else {},  # of its own end: how an earlier attempt ended says that one
        "ended_at": row.ended_at.isoformat() if row.ended_at else "",
        "attempts": [_attempt(attempt, where) for attempt in row.attempts],
        "events": [event_line(event) for event in events],
        "output": output,
        "model": f"{output}/model" if has_model else "",
        "checkpoints": [checkpoint.path for attempt in row.attempts for checkpoint in attempt.checkpoints],
        "log_file": str(where.home / "logs" / "trainings" / row.id),
        "mlflow_run_id": row.mlflow_run_id or "",
        "pages": pages(row, where),
    }


def pages(row: Training, where: Settings) -> dict[str, str]:
    """Return the pages of a training that can be opened now."""
    found: dict[str, str] = {}
    if row.attempts and row.attempts[-1].flow_run_id:
        found["run"] = _run_page(row.attempts[-1], where)
    if row.mlflow_run_id:
        found["mlflow"] = Tracking(where.mlflow_url).run_page(row.experiment.mlflow_id, row.mlflow_run_id)
    return found


def _run_page(row: Attempt, where: Settings) -> str:
    return f"{where.prefect_url}/v2/runs/flow-run/{row.flow_run_id}" if row.flow_run_id else ""


def _attempt(row: Attempt, where: Settings) -> dict[str, Any]:
    return {
        "id": row.id,
        "number": row.number,
        "phase": row.phase,
        "reason": row.reason,
        "message": row.message,
        "granted_at": row.granted_at.isoformat(),
        "running_at": row.running_at.isoformat() if row.running_at else "",
        "ended_at": row.ended_at.isoformat() if row.ended_at else "",
        "machine": row.machine,
        "gpus": row.gpus,
        "evidence": row.evidence,
        "ran_seconds": round(ran_seconds(row), 1),
        "resumed_from": row.resumed_from,
        "seconds_lost": None if row.seconds_lost is None else round(row.seconds_lost, 1),
        "checkpoints_committed": row.commits,
        "checkpoints": [
            {
                "number": c.number,
                "path": c.path,
                "files": c.files,
                "bytes": c.bytes,
                "taken_at": c.taken_at.isoformat(),
            }
            for c in row.checkpoints
        ],
        "run_page": _run_page(row, where),
    }


def went_on(attempt: Mapping[str, Any]) -> str:
    """Return from where an attempt, as in `detail`, went on and what that cost; an empty text where it just began."""
    if attempt["seconds_lost"] is None:
        return ""
    if not attempt["resumed_from"]:
        return f"from the beginning, {duration(attempt['seconds_lost'])} lost"
    path, own = attempt["resumed_from"], f"/{attempt['id'].rpartition('-a')[0]}/"
    cost = f", {duration(attempt['seconds_lost'])} lost" if attempt["number"] > 1 else ""
    return f"from {path.rpartition(own)[2] if own in path else path}{cost}"
