"""The table of allowed transitions, and `transition`: the one place where a state changes."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from blocks.records.errors import NotAllowed
from blocks.records.tables import Event, Experiment, Training, now
from blocks.records.words import TERMINAL, ExperimentState, Reason, TrainingState

E, T = ExperimentState, TrainingState

EXPERIMENT: Mapping[ExperimentState, frozenset[ExperimentState]] = {
    E.CREATE_REQUESTED: frozenset({E.CREATE_IN_PROGRESS, E.CREATE_FAILED}),
    E.CREATE_IN_PROGRESS: frozenset({E.ACTIVE, E.CREATE_FAILED}),
    E.CREATE_FAILED: frozenset({E.CREATE_IN_PROGRESS, E.DELETE_IN_PROGRESS}),
    E.ACTIVE: frozenset({E.DELETE_IN_PROGRESS}),
    E.DELETE_IN_PROGRESS: frozenset({E.DELETE_FAILED}),
    E.DELETE_FAILED: frozenset({E.DELETE_IN_PROGRESS}),
}

TRAINING: Mapping[TrainingState, frozenset[TrainingState]] = {
    T.CREATE_REQUESTED: frozenset({T.CREATE_IN_PROGRESS, T.CREATE_FAILED, T.STOPPED}),
    T.CREATE_IN_PROGRESS: frozenset(
        {T.RUNNING, T.STOP_IN_PROGRESS, T.STOPPED, T.FAIL_TRAIN_IN_PROGRESS, T.CREATE_FAILED}
    ),
    T.RUNNING: frozenset({T.COMPLETE_IN_PROGRESS, T.STOP_IN_PROGRESS, T.FAIL_TRAIN_IN_PROGRESS, T.CREATE_IN_PROGRESS}),
    # A stop while the model is staged out abandons it; a machine lost then is a next attempt.
    T.COMPLETE_IN_PROGRESS: frozenset({T.COMPLETE, T.STOP_IN_PROGRESS, T.FAIL_TRAIN_IN_PROGRESS, T.CREATE_IN_PROGRESS}),
    T.STOP_IN_PROGRESS: frozenset({T.STOPPED}),
    T.FAIL_TRAIN_IN_PROGRESS: frozenset({T.FAIL_TRAIN}),
    T.COMPLETE: frozenset({T.DELETE_IN_PROGRESS}),
    T.STOPPED: frozenset({T.DELETE_IN_PROGRESS}),
    T.FAIL_TRAIN: frozenset({T.DELETE_IN_PROGRESS}),
    T.CREATE_FAILED: frozenset({T.DELETE_IN_PROGRESS}),
    T.DELETE_IN_PROGRESS: frozenset({T.DELETE_FAILED}),
    T.DELETE_FAILED: frozenset({T.DELETE_IN_PROGRESS}),
}


def allowed(kind: str, state: str, to: str) -> bool:
    """Say whether a record of this kind (`experiment`, `training`) may go from one state to another."""
    if kind == "experiment":
        return ExperimentState(to) in EXPERIMENT[ExperimentState(state)]
    return TrainingState(to) in TRAINING[TrainingState(state)]


def kind_of(row: Experiment | Training) -> str:
    """Return the word for this kind of record."""
    return "experiment" if isinstance(row, Experiment) else "training"


def transition(
    session: Session,
    row: Experiment | Training,
    to: ExperimentState | TrainingState,
    *,
    reason: Reason | None = None,
    message: str = "",
    evidence: dict[str, Any] | None = None,
) -> None:
    """Move a record to a state and write the event, inside the caller's transaction.

    Raises:
        NotAllowed: the table has no such transition; nothing was changed.
    """
    kind = kind_of(row)
    if not allowed(kind, row.state, to):
        raise NotAllowed(f"The {kind} {row.name} ({row.id}) is {row.state}; it cannot become {to} from there.")
    row.state, row.reason, row.message = to, reason or "", message
    row.changed_at = now()
    if isinstance(row, Training):
        if evidence is not None:
            row.evidence = evidence
        if to in TERMINAL:
            row.ended_at = row.changed_at
    note(session, row, message, state=to, reason=reason)


def note(
    session: Session, row: Experiment | Training, message: str, *, state: str = "", reason: Reason | None = None
) -> None:
    """Write an event of a record; without a state it tells something that changed none."""
    session.add(
        Event(kind=kind_of(row), resource_id=row.id, name=row.name, state=state, reason=reason or "", message=message)
    )
