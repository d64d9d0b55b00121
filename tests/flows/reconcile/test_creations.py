"""Creations that died on the way."""

from datetime import timedelta
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import experiments
from blocks.records import repairs as written
from blocks.records.tables import now
from blocks.records.transitions import transition
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


@pytest.mark.parametrize(
    ("changed", "listening", "is_failed"),
    [
        (timedelta(hours=-1), timedelta(minutes=4), False),  # the clock was set forward four minutes ago
        (timedelta(hours=-1), timedelta(minutes=6), True),
        (timedelta(hours=3), timedelta(minutes=4), False),  # it was set back
        (timedelta(hours=3), timedelta(minutes=6), True),
    ],
)
def test_a_clock_that_is_set_fails_no_creation_in_flight(
    here: Platform, runs: Any, changed: timedelta, listening: timedelta, is_failed: bool
):
    """Its minutes count from when the controller began to listen by the clock of now; none waits for the old one."""
    with here.records.writing() as session:
        row = experiments.record(session, "group", "", {})
        row.changed_at = now() + changed
    found = repairs(reconciled(here, runs, listening_since=now() - listening))
    assert found == ({row.id: Repair.FAIL} if is_failed else {})


def test_an_interrupted_creation_is_found_without_the_controller(here: Platform, runs: Any):
    """The records tell of it: nobody has to listen."""
    with here.records.writing() as session:
        row = experiments.record(session, "group", "", {})
        row.changed_at = now() - timedelta(hours=1)
    assert repairs(reconciled(here, runs, listening_since=None)) == {row.id: Repair.FAIL}


def test_a_creation_that_goes_on_since_the_look_is_left_alone(
    here: Platform, runs: Any, monkeypatch: pytest.MonkeyPatch
):
    """Between the look and the repair its flow may have come back."""
    with here.records.writing() as session:
        row = experiments.record(session, "group", "", {})
        row.changed_at = now() - timedelta(hours=1)
    look = experiments.being_created

    def going_on(*given: Any) -> Any:
        found = look(*given)
        with here.records.writing() as session:
            transition(session, experiments.find(session, "group"), ExperimentState.CREATE_IN_PROGRESS)
        return found

    monkeypatch.setattr(experiments, "being_created", going_on)
    assert repairs(reconciled(here, runs)) == {row.id: Repair.FAIL}
    with here.records.reading() as session:
        assert experiments.find(session, "group").state == ExperimentState.CREATE_IN_PROGRESS
