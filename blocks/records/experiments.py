"""Experiments in the records: find, list, record, delete."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from blocks.records.errors import InUse, NameTaken, NotAllowed, NotFound
from blocks.records.tables import Event, Experiment, Training
from blocks.records.transitions import note, transition
from blocks.records.words import ExperimentState


def find(session: Session, name: str) -> Experiment:
    """Return the experiment with this name or id, locked for the transaction where the database can.

    Raises:
        NotFound: there is none.
    """
    found = lookup(session, name)
    if found is None:
        raise NotFound(f"There is no experiment {name!r}. `emf experiment list` shows those that there are.")
    return found


def lookup(session: Session, name: str) -> Experiment | None:
    """Return the experiment with this name or id, or None."""
    query = select(Experiment).where((Experiment.name == name) | (Experiment.id == name)).with_for_update()
    return session.scalars(query).first()


def page(session: Session, *, limit: int = 50, offset: int = 0) -> tuple[Sequence[tuple[Experiment, int]], int]:
    """Return one page of experiments, newest first, each with its number of trainings, and how many there are."""
    counted = select(Training.experiment_id, func.count().label("n")).group_by(Training.experiment_id).subquery()
    rows = session.execute(
        select(Experiment, func.coalesce(counted.c.n, 0))
        .outerjoin(counted, counted.c.experiment_id == Experiment.id)
        .order_by(Experiment.created_at.desc(), Experiment.id)
        .limit(limit)
        .offset(offset)
    ).all()
    total = session.scalar(select(func.count()).select_from(Experiment)) or 0
    return [(row[0], row[1]) for row in rows], total


def trainings_of(session: Session, experiment: Experiment) -> Sequence[Training]:
    """Return an experiment's trainings, newest first."""
    query = select(Training).where(Training.experiment_id == experiment.id).order_by(Training.created_at.desc())
    return session.scalars(query).unique().all()


def being_created(session: Session) -> Sequence[Experiment]:
    """Return the experiments whose creation has not ended."""
    creating = (ExperimentState.CREATE_REQUESTED, ExperimentState.CREATE_IN_PROGRESS)
    query = select(Experiment).where(Experiment.state.in_(creating))
    return session.scalars(query).all()


def record(session: Session, name: str, description: str, tags: Mapping[str, str]) -> Experiment:
    """Record a new experiment as requested.

    Raises:
        NameTaken: there is one with this name.
    """
    if lookup(session, name) is not None:
        raise NameTaken(f"There is an experiment {name!r} already; names of experiments are unique.")
    row = Experiment(name=name, description=description, tags=dict(tags))
    session.add(row)
    session.flush()
    note(session, row, "Requested.", state=row.state)
    return row


def begin_delete(session: Session, row: Experiment) -> None:
    """Move to DELETE_IN_PROGRESS, from where only the deletion goes on.

    Raises:
        InUse: it has trainings; the message names them.
        NotAllowed: it is being created.
    """
    if row.state in (ExperimentState.CREATE_REQUESTED, ExperimentState.CREATE_IN_PROGRESS):
        raise NotAllowed(f"The experiment {row.name} is being created ({row.state}); it can be deleted after that.")
    trainings = trainings_of(session, row)
    if trainings:
        named = ", ".join(f"{t.name} ({t.id}, {t.state})" for t in trainings[:10])
        more = f" and {len(trainings) - 10} more" if len(trainings) > 10 else ""
        raise InUse(
            f"The experiment {row.name} has {len(trainings)} training(s): {named}{more}. Delete them first: "
            "`emf training delete ID`."
        )
    if row.state != ExperimentState.DELETE_IN_PROGRESS:
        transition(session, row, ExperimentState.DELETE_IN_PROGRESS)


def forget(session: Session, row: Experiment) -> None:
    """Remove the record and its events, after everything outside is gone."""
    session.execute(delete(Event).where(Event.kind == "experiment", Event.resource_id == row.id))
    session.delete(row)
