"""Reading experiments: for lists, pages and the terminal. Free of Prefect, so that they answer at once."""

from typing import Any

from sqlalchemy.orm import Session

from blocks.platform import Platform
from blocks.records import experiments
from blocks.records.tables import Experiment
from blocks.records.trainings import events_of
from flows.experiment import view
from flows.faults import Refused
from flows.names import lookup_name
from flows.paging import page_faults


def find(session: Session, experiment: str) -> Experiment:
    """Return the experiment that a person means by a name or an id.

    Raises:
        Refused: nothing can have that name.
        NotFound: there is none.
    """
    return experiments.find(session, lookup_name("experiment", experiment))


def look(platform: Platform, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the experiments, newest first, and how many there are.

    Raises:
        Refused: there can be no such page.
    """
    if faults := page_faults(limit, offset):
        raise Refused(faults)
    with platform.records.reading() as session:
        rows, total = experiments.page(session, limit=limit, offset=offset)
    return [view.summary(row, trainings, platform.tracking) for row, trainings in rows], total


def read(platform: Platform, experiment: str) -> dict[str, Any]:
    """Return all of one experiment, by its name or id.

    Raises:
        Refused, NotFound: as `find`.
    """
    with platform.records.reading() as session:
        row = find(session, experiment)
        events = events_of(session, "experiment", row.id)
        return view.detail(row, experiments.trainings_of(session, row), events, platform.tracking)
