"""What reconcile put right, written down: the newest thousand, kept when the training they concern is deleted."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from blocks.records.tables import RepairRecord

KEPT = 1000
LONGEST_SUBJECT = 255


def write(session: Session, subject: str, repair: str, what: str, training_id: str = "") -> None:
    """Write down one repair, and forget those that a thousand newer ones follow.

    Args:
        session: a writing session.
        subject: what was repaired: an attempt, a run, a folder.
        repair: what was done, in two or three words.
        what: what differed, and its cause.
        training_id: whom it concerns, if anybody.
    """
    session.add(RepairRecord(subject=subject[:LONGEST_SUBJECT], repair=repair, what=what, training_id=training_id))
    session.flush()
    oldest = select(RepairRecord.id).order_by(RepairRecord.id.desc()).offset(KEPT - 1).limit(1).scalar_subquery()
    session.execute(delete(RepairRecord).where(RepairRecord.id < oldest))


def newest(session: Session, limit: int) -> Sequence[RepairRecord]:
    """Return the last repairs, newest first."""
    return session.scalars(select(RepairRecord).order_by(RepairRecord.id.desc()).limit(limit)).all()
