"""Reading experiments: for lists, pages and the terminal. Free of Prefect, so that they answer at once."""

from typing import Any

from blocks.platform import Platform
from blocks.records import experiments
from blocks.records.trainings import events_of
from flows.experiment import view


def look(platform: Platform, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the experiments, newest first, and how many there are."""
    with platform.records.reading() as session:
        rows, total = experiments.page(session, limit=limit, offset=offset)
    return [view.summary(row, trainings, platform.tracking) for row, trainings in rows], total


def read(platform: Platform, experiment: str) -> dict[str, Any]:
    """Return all of one experiment, by its name or id.

    Raises:
        NotFound: there is none.
    """
    with platform.records.reading() as session:
        row = experiments.find(session, experiment)
        events = events_of(session, "experiment", row.id)
        return view.detail(row, experiments.trainings_of(session, row), events, platform.tracking)
