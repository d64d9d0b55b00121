"""Wishes to stop that nobody obeys: a training that waits, and that no attempt runs which would."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from blocks.records import trainings
from blocks.records.tables import Attempt, Training
from blocks.records.words import TrainingState, Wish

WAITING = (TrainingState.CREATE_REQUESTED, TrainingState.CREATE_IN_PROGRESS)


def unheeded(session: Session) -> Sequence[str]:
    """Return the ids of the trainings that wait, hold no machine, and were asked to stop."""
    is_open = select(Attempt.id).where(Attempt.training_id == Training.id, Attempt.ended_at.is_(None)).exists()
    query = select(Training.id).where(Training.state.in_(WAITING), Training.wish == Wish.STOP, ~is_open)
    return session.scalars(query.order_by(Training.id)).all()


def heed(session: Session, training_id: str) -> bool:
    """Stop such a training; returns whether it was one still."""
    row = session.get(Training, training_id, with_for_update={"of": Training})
    if row is None or training_id not in unheeded(session):
        return False
    trainings.wish_stop(session, row)
    return True
