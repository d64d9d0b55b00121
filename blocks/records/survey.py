"""What is read of very many attempts at once: a few columns, page by page, so that ten thousand fill no memory."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import CursorResult, Select, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from blocks.records.tables import Attempt, Experiment, Training
from blocks.records.words import Phase, TrainingState, Wish

PAGE = 1000
AT_ONCE = 500  # values in one statement: databases have a limit

Id = TypeVar("Id", bound=str)


class Glance(NamedTuple):
    """One attempt as a list of columns; `training_state`, `wish` and `instance_type` are its training's."""

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
    instance_type: str


def _glances() -> Select[Any]:
    of_attempt = (Attempt.id, Attempt.training_id, Attempt.number, Training.state, Training.wish, Attempt.token_hash)
    doing = (Attempt.flow_run_id, Attempt.progress)
    times = (Attempt.granted_at, Attempt.submitted_at, Attempt.beat_at, Attempt.ended_at)
    return select(*of_attempt, *doing, *times, Training.instance_type).join(
        Training, Training.id == Attempt.training_id
    )


def _read(session: Session, query: Select[Any]) -> list[Glance]:
    return [Glance(*row) for row in session.execute(query)]


def open_attempts(session: Session, after: str = "") -> Sequence[Glance]:
    """Return one page of the attempts that hold a lease: those whose ids come after this one."""
    query = _glances().where(Attempt.ended_at.is_(None), Attempt.id > after)
    return _read(session, query.order_by(Attempt.id).limit(PAGE))


def unclosed(
    session: Session,
    until: datetime,
    since: datetime | None = None,
    after: str = "",
    *,
    ahead: datetime | None = None,
) -> Sequence[Glance]:
    """Return one page of the attempts that ended in a time, and whose run Prefect has not been seen to take for ended.

    Args:
        session: any.
        until: when that time ends.
        since: when it begins; None: with the first attempt ever.
        after: the last id of the page before.
        ahead: also those that ended after this: the clock has been set back since.
    """
    ended = Attempt.ended_at <= until if since is None else Attempt.ended_at.between(since, until)
    if ahead is not None:
        ended = or_(ended, Attempt.ended_at > ahead)
    query = _glances().where(ended, Attempt.run_is_over.is_(False), Attempt.flow_run_id != "")
    return _read(session, query.where(Attempt.id > after).order_by(Attempt.id).limit(PAGE))


def among(session: Session, attempt_ids: Collection[str]) -> Sequence[Glance]:
    """Return those of these attempts that the records know."""
    return [one for some in in_parts(attempt_ids) for one in _read(session, _glances().where(Attempt.id.in_(some)))]


def tried_again(session: Session, flow_run_ids: Collection[str]) -> Sequence[Glance]:
    """Return the attempts of these runs that were the last to end of trainings whose next attempt has not begun to run.

    Those that were asked to stop are none of these.
    """
    later = aliased(Attempt)
    since = (later.training_id == Attempt.training_id, later.number > Attempt.number, later.ended_at.is_not(None))
    waits = (Training.state == TrainingState.CREATE_IN_PROGRESS, Training.wish != Wish.STOP)
    query = _glances().where(Attempt.ended_at.is_not(None), *waits, ~select(later.id).where(*since).exists())
    parts = [query.where(Attempt.flow_run_id.in_(some)) for some in in_parts(flow_run_ids)]
    return [one for part in parts for one in _read(session, part)]


class Lease(NamedTuple):
    """What an attempt holds of its machine, and the name of its training."""

    attempt_id: str
    name: str
    memory_bytes: int
    gpus: list[str]


def leases(session: Session, alive: Collection[str]) -> Sequence[Lease]:
    """Return what is held, the longest held first: by open attempts, and by those of these that have ended."""
    held = or_(Attempt.ended_at.is_(None), Attempt.id.in_(list(alive)))
    columns = (Attempt.id, Training.name, Attempt.memory_bytes, Attempt.gpus)
    query = select(*columns).join(Training, Training.id == Attempt.training_id).where(held)
    return [Lease(*row) for row in session.execute(query.order_by(Attempt.granted_at))]


def unclaimed(session: Session) -> Sequence[Attempt]:
    """Return the attempts whose run has not come yet, oldest first: whole, for they are few."""
    query = select(Attempt).where(Attempt.ended_at.is_(None), Attempt.phase == Phase.GRANTED)
    return session.scalars(query.order_by(Attempt.granted_at)).unique().all()


class TrainingGlance(NamedTuple):
    """One training as a list of columns."""

    training_id: str
    experiment_id: str
    state: str
    ended_at: datetime | None


def trainings_among(session: Session, training_ids: Collection[str]) -> dict[str, TrainingGlance]:
    """Return those of these trainings that the records know, by their ids."""
    query = select(Training.id, Training.experiment_id, Training.state, Training.ended_at)
    rows = (row for some in in_parts(training_ids) for row in session.execute(query.where(Training.id.in_(some))))
    return {one.training_id: one for one in (TrainingGlance(*row) for row in rows)}


def trainings_of(session: Session, experiment_ids: Collection[str]) -> dict[str, set[str]]:
    """Return the ids of the trainings of each of these experiments that the records know."""
    known = select(Experiment.id, Training.id).join(Training, Training.experiment_id == Experiment.id, isouter=True)
    found: dict[str, set[str]] = {}
    for some in in_parts(experiment_ids):
        for experiment_id, training_id in session.execute(known.where(Experiment.id.in_(some))):
            found.setdefault(experiment_id, set()).update({training_id} - {None})
    return found


def images(session: Session) -> dict[str, datetime]:
    """Return the images of the open attempts, each with when the first of them was granted its lease."""
    query = select(Training.image, func.min(Attempt.granted_at)).join(Training, Training.id == Attempt.training_id)
    rows = session.execute(query.where(Attempt.ended_at.is_(None)).group_by(Training.image))
    return {row[0]: row[1] for row in rows}


def oldest_lease(session: Session) -> datetime | None:
    """Return when the oldest lease that is still held was granted; None where none is held."""
    return session.scalar(select(func.min(Attempt.granted_at)).where(Attempt.ended_at.is_(None)))


def runs_are_over(session: Session, attempt_ids: Collection[str]) -> int:
    """Note of these attempts that Prefect takes their runs for ended; return of how many that was not known."""
    news = 0
    for some in in_parts(attempt_ids):
        fresh = update(Attempt).where(Attempt.id.in_(some), Attempt.run_is_over.is_(False))
        news += cast("CursorResult[Any]", session.execute(fresh.values(run_is_over=True))).rowcount
    return news


def in_parts(ids: Collection[Id]) -> Iterator[list[Id]]:
    """Split ids into lists that a statement can hold."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]
