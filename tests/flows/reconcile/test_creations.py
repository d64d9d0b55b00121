"""Creations that died on the way."""

from datetime import timedelta
from typing import Any

from blocks.platform import Platform
from blocks.records import experiments
from blocks.records import repairs as written
from blocks.records.tables import now
from blocks.records.words import ExperimentState
from flows.reconcile.findings import Repair
from tests.flows.reconcile.conftest import reconciled, repairs


def test_a_creation_that_died_can_be_retried(here: Platform, runs: Any):
    """An experiment whose creation has not moved for minutes is CREATE_FAILED; a fresh one is left alone."""
    with here.records.writing() as session:
        old, fresh = (experiments.record(session, name, "", {}) for name in ("old", "fresh"))
        old.changed_at = now() - timedelta(minutes=6)
    assert repairs(reconciled(here, runs, dry_run=True)) == {old.id: Repair.FAIL}
    assert repairs(reconciled(here, runs)) == {old.id: Repair.FAIL}
    assert repairs(reconciled(here, runs)) == {}
    with here.records.reading() as session:
        states = {name: experiments.find(session, name).state for name in ("old", "fresh")}
        assert [one.subject for one in written.newest(session, 10)] == [old.id]
    assert states == {"old": ExperimentState.CREATE_FAILED, "fresh": ExperimentState.CREATE_REQUESTED}
    assert fresh.id != old.id
