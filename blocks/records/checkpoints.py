"""Checkpoints in the records: which are committed, which are kept, and from which an attempt goes on."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blocks.records.tables import Attempt, Checkpoint, now
from blocks.records.trainings import ran_seconds
from blocks.records.transitions import note


def committed(
    session: Session,
    attempt: Attempt,
    number: int,
    path: str,
    *,
    files: int,
    size: int,
    keep: int,
    taken_at: datetime | None = None,
) -> None:
    """Note a committed checkpoint and forget all but the newest `keep` of its training; the same one twice is one.

    Args:
        session: that writes.
        attempt: which committed it.
        number: the checkpoint's, in its attempt.
        path: where it lies.
        files: how many there are in it.
        size: of all of them, in bytes.
        keep: how many stay in the records.
        taken_at: when the script's files were as they are in it; now, where that is not known.
    """
    row = Checkpoint(
        attempt_id=attempt.id, number=number, path=path, files=files, bytes=size, taken_at=taken_at or now()
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return
    attempt.commits += 1
    _prune(session, attempt.training_id, keep)
    if attempt.commits == 1:  # a script may write thousands: an event for each would bury all others
        note(session, attempt.training, f"Attempt {attempt.number} keeps checkpoints; the first is {path}")


def _prune(session: Session, training_id: str, keep: int) -> None:
    of_training = select(Checkpoint.id).join(Attempt, Attempt.id == Checkpoint.attempt_id)
    newest = (
        of_training.where(Attempt.training_id == training_id)
        .order_by(Attempt.number.desc(), Checkpoint.number.desc())
        .offset(keep)
    )
    old = session.scalars(newest).all()
    if old:
        session.execute(
            delete(Checkpoint).where(Checkpoint.id.in_(old)), execution_options={"synchronize_session": False}
        )
    for row in session.identity_map.values():
        if isinstance(row, Attempt):
            session.expire(row, ["checkpoints"])


def resumed(attempt: Attempt, path: str) -> Checkpoint | None:
    """Note from which checkpoint an attempt goes on (none: an empty text), and how much work that costs.

    Returns:
        The checkpoint, where the training itself has made it.
    """
    made = next((c for row in attempt.training.attempts for c in row.checkpoints if c.path == path), None)
    attempt.resumed_from, attempt.seconds_lost = path, round(seconds_lost(attempt, made), 1)  # everywhere the same
    return made


def seconds_lost(attempt: Attempt, checkpoint: Checkpoint | None) -> float:
    """Return how many seconds of training earlier attempts did after that checkpoint; without one all that they did."""
    earlier = [row for row in attempt.training.attempts if row.number < attempt.number]
    if checkpoint is None:
        return sum(map(ran_seconds, earlier))
    maker = next(row for row in earlier if row.id == checkpoint.attempt_id)
    over = maker.stopped_running_at or maker.ended_at or checkpoint.taken_at
    after = max(0.0, (over - checkpoint.taken_at).total_seconds())
    return after + sum(ran_seconds(row) for row in earlier if row.number > maker.number)
