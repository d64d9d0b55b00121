"""Creations of experiments whose flow died on the way: they fail, so that they can be retried."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from blocks.platform import Platform
from blocks.records import experiments
from blocks.records.tables import Experiment, now
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState, Reason
from flows.reconcile.difference import Difference
from flows.reconcile.findings import Finding, Repair

CREATION = timedelta(minutes=5)
CREATING = (ExperimentState.CREATE_REQUESTED, ExperimentState.CREATE_IN_PROGRESS)


def interrupted(platform: Platform) -> Iterator[Difference]:
    """Return the creations that have not moved for minutes."""
    with platform.records.reading() as session:
        stale = experiments.being_created_since(session, now() - CREATION)
    for row in stale:
        what = f"the creation of the experiment {row.name} has not gone on since {row.changed_at:%Y-%m-%d %H:%M} UTC"
        yield Difference(Finding(row.id, Repair.FAIL, what), partial(_fail, platform, row.id))


def _fail(platform: Platform, experiment_id: str) -> bool:
    with platform.records.writing() as session:
        row = session.get(Experiment, experiment_id, with_for_update=True)
        if row is None or row.state not in CREATING or row.changed_at > now() - CREATION:
            return False
        message = "Its creation was interrupted; `emf experiment retry` goes on with it."
        transition(session, row, ExperimentState.CREATE_FAILED, reason=Reason.INTERRUPTED, message=message)
        return True
