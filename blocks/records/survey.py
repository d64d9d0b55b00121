"""What is read of very many attempts at once: a few columns, page by page, so that ten thousand fill no memory."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.orm import Session

from blocks.records.tables import Attempt, Training
from blocks.records.words import Phase

PAGE = 1000
AT_ONCE = 500  # values in one statement: databases have a limit

Id = TypeVar("Id", bound=str)


class Glance(NamedTuple):
    """One attempt as a list of columns; `training_state` and `wish` are its training's."""

    attempt_id: str
    training_id: str
    number: int
    training_state: str
    wish: str
    token_hash: str
    flow_run_id: str
    progress: str
    granted_at: datetime
    submitted_at: datetime | None
    beat_at: datetime | None
    ended_at: datetime | None


def _glances() -> Select[Any]:
    of_attempt = (Attempt.id, Attempt.training_id, Attempt.number, Training.state, Training.wish, Attempt.token_hash)
    doing = (Attempt.flow_run_id, Attempt.progress)
    times = (Attempt.granted_at, Attempt.submitted_at, Attempt.beat_at, Attempt.ended_at)
    return select(*of_attempt, *doing, *times).join(Training, Training.id == Attempt.training_id)


def _read(session: Session, query: Select[Any]) -> list[Glance]:
    return [Glance(*row) for row in session.execute(query)]


def open_attempts(session: Session, after: str = "") -> Sequence[Glance]:
    """Return one page of the attempts that hold a lease: those whose ids come after this one."""
    query = _glances().where(Attempt.ended_at.is_(None), Attempt.id > after)
    return _read(session, query.order_by(Attempt.id).limit(PAGE))


def unclosed(session: Session, until: datetime, since: datetime | None = None, after: str = "") -> Sequence[Glance]:
    """Return one page of the attempts that ended in a time, and whose run Prefect has not been seen to take for ended.

    Args:
        session: any.
        until: when that time ends.
        since: when it begins; None: with the first attempt ever.
        after: the last id of the page before.
    """
    query = _glances().where(Attempt.ended_at <= until, Attempt.run_is_over.is_(False), Attempt.flow_run_id != "")
    if since is not None:
        query = query.where(Attempt.ended_at >= since)
    return _read(session, query.where(Attempt.id > after).order_by(Attempt.id).limit(PAGE))


def among(session: Session, attempt_ids: Collection[str]) -> Sequence[Glance]:
    """Return those of these attempts that the records know."""
    return [one for some in in_parts(attempt_ids) for one in _read(session, _glances().where(Attempt.id.in_(some)))]


class Lease(NamedTuple):
    """What an attempt holds of its machine, and the name of its training."""

    name: str
    memory_bytes: int
    gpus: list[str]


def leases(session: Session, alive: Collection[str]) -> Sequence[Lease]:
    """Return what is held, the longest held first: by open attempts, and by those of these that have ended."""
    held = or_(Attempt.ended_at.is_(None), Attempt.id.in_(list(alive)))
    query = select(Training.name, Attempt.memory_bytes, Attempt.gpus).join(Training, Training.id == Attempt.training_id)
    return [Lease(*row) for row in session.execute(query.where(held).order_by(Attempt.granted_at))]


def unclaimed(session: Session) -> Sequence[Attempt]:
    """Return the attempts whose run has not come yet, oldest first: whole, for they are few."""
    query = select(Attempt).where(Attempt.ended_at.is_(None), Attempt.phase == Phase.GRANTED)
    return session.scalars(query.order_by(Attempt.granted_at)).unique().all()


def oldest_lease(session: Session) -> datetime | None:
    """Return when the oldest lease that is still held was granted; None where none is held."""
    return session.scalar(select(func.min(Attempt.granted_at)).where(Attempt.ended_at.is_(None)))


def runs_are_over(session: Session, attempt_ids: Collection[str]) -> None:
    """Note of these attempts that Prefect takes their runs for ended: they need not be asked for again."""
    for some in in_parts(attempt_ids):
        session.execute(update(Attempt).where(Attempt.id.in_(some)).values(run_is_over=True))


def in_parts(ids: Collection[Id]) -> Iterator[list[Id]]:
    """Split ids into lists that a statement can hold."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]
