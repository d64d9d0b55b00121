"""Creations of experiments whose flow died on the way: they fail, so that they can be retried.

Like silence, their standing still counts from when somebody listened: no clock that is set fails one in flight.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from blocks.platform import Platform
from blocks.records import experiments
from blocks.records.tables import Experiment, now
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState, Reason
from flows.reconcile.difference import Difference
from flows.reconcile.findings import Finding, Repair
from flows.reconcile.hearing import Hearing

CREATION = timedelta(minutes=5)
CREATING = (ExperimentState.CREATE_REQUESTED, ExperimentState.CREATE_IN_PROGRESS)


def interrupted(platform: Platform, hearing: Hearing) -> Iterator[Difference]:
    """Return the creations that have not moved for minutes."""
    with platform.records.reading() as session:
        creating = experiments.being_created(session)
    hearing = hearing.at(now())
    # It is the records that tell of it: where no controller listens, they do all the same.
    standing = hearing.silence if hearing.since else hearing.age
    for row in creating:
        if standing(row.changed_at) <= CREATION:
            continue
        what = f"the creation of the experiment {row.name} has not gone on since {row.changed_at:%Y-%m-%d %H:%M} UTC"
        yield Difference(Finding(row.id, Repair.FAIL, what), partial(_fail, platform, row.id, row.changed_at))


def _fail(platform: Platform, experiment_id: str, seen_at: datetime) -> bool:
    with platform.records.writing() as session:
        row = session.get(Experiment, experiment_id, with_for_update=True)
        if row is None or row.state not in CREATING or row.changed_at != seen_at:
            return False
        message = "Its creation was interrupted; `emf experiment retry` goes on with it."
        transition(session, row, ExperimentState.CREATE_FAILED, reason=Reason.INTERRUPTED, message=message)
        return True
