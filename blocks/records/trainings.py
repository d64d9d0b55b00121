"""Trainings in the records: find, list, record, wish, delete."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, CursorResult, and_, bindparam, delete, exists, func, select, update
from sqlalchemy.orm import Session

from blocks.records.errors import Ambiguous, KeyReused, NotAllowed, NotFound
from blocks.records.tables import Attempt, Event, Experiment, Training, now
from blocks.records.transitions import note, transition
from blocks.records.words import TERMINAL, ExperimentState, Reason, TrainingState, Wish

T = TrainingState


def find(session: Session, name: str) -> Training:
    """Return the training with this id, or the only one with this name.

    Raises:
        NotFound: there is none.
        Ambiguous: several have that name; the message lists their ids.
    """
    by_id = session.get(Training, name, with_for_update={"of": Training})
    if by_id is not None:
        return by_id
    query = select(Training).where(Training.name == name).order_by(Training.created_at.desc())
    rows = session.scalars(query.with_for_update(of=Training)).unique().all()
    if not rows:
        raise NotFound(f"There is no training {name!r}. `emf training list` shows those that there are.")
    if len(rows) > 1:
        ids = ", ".join(f"{row.id} ({row.state}, created {row.created_at:%Y-%m-%d %H:%M})" for row in rows[:10])
        raise Ambiguous(f"{len(rows)} trainings are named {name!r}; say which by its id: {ids}.")
    return rows[0]


def page(
    session: Session,
    *,
    experiment: str = "",
    states: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[Sequence[Training], int]:
    """Return one page of the trainings that match, newest first, and how many match.

    A tag with an empty value matches any value of that key.
    """
    query = select(Training).join(Experiment, Experiment.id == Training.experiment_id)
    if experiment:
        query = query.where((Experiment.name == experiment) | (Experiment.id == experiment))
    if states:
        query = query.where(Training.state.in_(states))
    for key, value in (tags or {}).items():
        query = query.where(_has_tag(session, key, value))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    ordered = query.order_by(Training.created_at.desc(), Training.id).limit(limit).offset(offset)
    return session.scalars(ordered).unique().all(), total


def _has_tag(session: Session, key: str, value: str) -> ColumnElement[bool]:
    # Pair by pair: a JSON path reaches no key with a quote in it, nor on SQLite one with letters beyond ASCII.
    each = func.json_each if session.get_bind().dialect.name == "sqlite" else func.json_each_text
    pair = each(Training.tags).table_valued("key", "value")
    wanted = pair.c.key == key
    return exists().where(and_(wanted, pair.c.value == value) if value else wanted).correlate(Training)


class Waiting(NamedTuple):
    """A training that wants a machine, as a list of columns: there may be ten thousand of them."""

    id: str
    name: str
    image: str
    instance_type: str
    instance_count: int
    wish: str
    retry_at: datetime | None
    message: str


def waiting(session: Session) -> Sequence[Waiting]:
    """Return the trainings that want a machine, the longest waiting first."""
    open_attempt = select(Attempt.id).where(Attempt.training_id == Training.id, Attempt.ended_at.is_(None)).exists()
    wanted = (Training.image, Training.instance_type, Training.request["instance_count"].as_integer())
    query = select(Training.id, Training.name, *wanted, Training.wish, Training.retry_at, Training.message)
    query = query.where(Training.state == T.CREATE_IN_PROGRESS, ~open_attempt)
    return [Waiting(*row) for row in session.execute(query.order_by(Training.created_at, Training.id))]


def still_waiting(session: Session, training_id: str) -> Training | None:
    """Return a training if it wants a machine still; nobody else changes it before this transaction ends."""
    row = session.get(Training, training_id, with_for_update={"of": Training})
    if row is None or row.state != T.CREATE_IN_PROGRESS or not all(attempt.ended_at for attempt in row.attempts):
        return None
    return row


def tell_waiting(session: Session, told: Mapping[str, str]) -> None:
    """Give those of these trainings that still wait their messages."""
    one = update(Training).where(Training.id == bindparam("of"), Training.state == T.CREATE_IN_PROGRESS)
    values = [{"of": training_id, "told": message} for training_id, message in told.items()]
    # By the connection: a session takes no statement for many that has a condition.
    session.connection().execute(one.values(message=bindparam("told")), values)


def wish_instead(session: Session, wish: Wish, instead_of: Wish, *states: str) -> int:
    """Give all trainings in these states a wish that have another; returns how many."""
    those = update(Training).where(Training.state.in_(states), Training.wish == instead_of).values(wish=wish)
    done = session.execute(those, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", done).rowcount


def in_state(session: Session, *states: str) -> Sequence[Training]:
    """Return the trainings in these states, oldest first."""
    query = select(Training).where(Training.state.in_(states)).order_by(Training.created_at, Training.id)
    return session.scalars(query).unique().all()


def untold(session: Session) -> Sequence[Training]:
    """Return the trainings that have ended without MLflow's knowing, oldest first."""
    query = select(Training).where(
        Training.mlflow_status == "", Training.mlflow_run_id != "", Training.state.in_(TERMINAL)
    )
    return session.scalars(query.order_by(Training.created_at, Training.id)).unique().all()


def has_been(session: Session, row: Training, state: TrainingState) -> bool:
    """Say whether a training was ever in this state."""
    query = select(Event.id).where(Event.kind == "training", Event.resource_id == row.id, Event.state == state)
    return session.scalars(query.limit(1)).first() is not None


def events_of(session: Session, kind: str, resource_id: str) -> Sequence[Event]:
    """Return a record's events, oldest first."""
    query = select(Event).where(Event.kind == kind, Event.resource_id == resource_id).order_by(Event.id)
    return session.scalars(query).all()


def by_key(session: Session, request_key: str, digest: str) -> Training | None:
    """Return the training that this request key already made, or None.

    Raises:
        KeyReused: the key made a training from another request.
    """
    if not request_key:
        return None
    row = session.scalars(select(Training).where(Training.request_key == request_key)).unique().first()
    if row is not None and row.request_digest != digest:
        raise KeyReused(
            f"The request key {request_key!r} already made the training {row.name} ({row.id}) from another request. "
            "Repeat the same request, or use a new key."
        )
    return row


def record(
    session: Session, experiment: Experiment, request: Mapping[str, Any], *, request_key: str, digest: str
) -> Training:
    """Record a training as requested; its turn comes when the controller finds its machine.

    Raises:
        NotAllowed: the experiment is being deleted.
    """
    if experiment.state in (ExperimentState.DELETE_IN_PROGRESS, ExperimentState.DELETE_FAILED):
        raise NotAllowed(f"The experiment {experiment.name} is being deleted ({experiment.state}); name another one.")
    row = Training(
        name=request["name"],
        description=request["description"],
        tags=dict(request["tags"]),
        experiment_id=experiment.id,
        request=dict(request),
        request_key=request_key or None,
        request_digest=digest,
        image=request["image"],
        instance_type=request["instance_type"],
        experiment=experiment,
    )
    session.add(row)
    session.flush()
    note(session, row, "Requested.", state=row.state)
    return row


def wish_stop(session: Session, row: Training) -> None:
    """Write down that a person wants this training to stop. Asking twice changes nothing.

    One that holds no machine is STOPPED at once; a running one obeys within seconds.

    Raises:
        NotAllowed: it is being deleted.
    """
    if row.state in TERMINAL:
        return
    if row.state in (T.DELETE_IN_PROGRESS, T.DELETE_FAILED):
        raise NotAllowed(f"The training {row.name} ({row.id}) is being deleted; there is nothing to stop.")
    row.wish = Wish.STOP
    if all(attempt.ended_at for attempt in row.attempts) and row.state in (T.CREATE_REQUESTED, T.CREATE_IN_PROGRESS):
        waited = "while it waited for its next attempt" if row.attempts else "before it got a machine"
        transition(session, row, T.STOPPED, reason=Reason.USER, message=f"Stopped {waited}.")
    elif row.state not in (T.STOP_IN_PROGRESS, T.FAIL_TRAIN_IN_PROGRESS):
        # A script that has failed already has failed, whatever is asked then: the wish only hurries its end.
        transition(session, row, T.STOP_IN_PROGRESS, reason=Reason.USER, message="A person asked it to stop.")


def begin_delete(session: Session, row: Training) -> None:
    """Move to DELETE_IN_PROGRESS, from where only the deletion goes on.

    Raises:
        NotAllowed: it has not ended.
    """
    if row.state == T.DELETE_IN_PROGRESS:
        return
    if row.state not in TERMINAL and row.state != T.DELETE_FAILED:
        raise NotAllowed(
            f"The training {row.name} ({row.id}) is {row.state}. Stop it first: `emf training stop {row.id}`."
        )
    transition(session, row, T.DELETE_IN_PROGRESS)


def forget(session: Session, row: Training) -> None:
    """Remove the record, its attempts and its events, after everything outside is gone."""
    session.execute(delete(Event).where(Event.kind == "training", Event.resource_id == row.id))
    session.delete(row)


def ran_seconds(row: Attempt) -> float:
    """Return how long an attempt's script has run, in seconds: by the instance's steady clock, where that told it."""
    if row.ran_seconds is not None:
        return row.ran_seconds
    if row.running_at is None:
        return 0.0
    over = row.stopped_running_at or row.ended_at or now()
    return max(0.0, (over - row.running_at).total_seconds())  # a clock that was set back gives no time


def seconds_trained(row: Training) -> float:
    """Return how long the training has been RUNNING, over all of its attempts, in seconds."""
    return sum(map(ran_seconds, row.attempts))
