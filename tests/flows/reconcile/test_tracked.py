"""MLflow runs that go on although their training does not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import repairs as written
from blocks.records import trainings
from blocks.records.survey import TrainingGlance
from blocks.records.tables import now
from blocks.records.words import TERMINAL, TrainingState
from blocks.tracking.open_runs import OpenRun
from flows.reconcile.findings import Repair
from flows.reconcile.hearing import Hearing
from flows.reconcile.tracked import OLD, STATUS, TOLD, judged
from tests.flows.reconcile.conftest import FakeTracking, reconciled, repairs

T = TrainingState
NOW = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
HEARD = Hearing(NOW, NOW - timedelta(days=9), timedelta(seconds=15))


@pytest.fixture
def tracked(here: Platform, make: Callable[..., str], tracking: FakeTracking) -> Callable[..., str]:
    """A training in a state, changed a while ago, whose MLflow run is open; returns its id."""

    def go(state: TrainingState) -> str:
        training_id = make(state)
        tracking.open[f"m-{training_id}"] = OpenRun(f"m-{training_id}", training_id, now())
        with here.records.writing() as session:
            row = trainings.find(session, training_id)
            row.ended_at = row.ended_at and now() - timedelta(minutes=5)
        return training_id

    return go


@pytest.mark.parametrize("state", list(TrainingState))
def test_which_status_an_open_run_should_have(state: TrainingState):
    """That of its training, once that has ended and the controller had time to tell it; a deletion deletes it."""
    run = OpenRun("m", "tr-1", NOW - OLD * 9)
    late = TrainingGlance("tr-1", "ex-1", state, NOW - TOLD)
    assert judged(run, late, HEARD)[0] == STATUS.get(state)
    assert (state in STATUS) == (state in TERMINAL)
    before_the_clock_was_set_back = late._replace(ended_at=NOW + OLD)
    assert judged(run, before_the_clock_was_set_back, HEARD)[0] == STATUS.get(state)
    assert judged(run, late._replace(ended_at=NOW - TOLD + MOMENT), HEARD)[0] is None
    assert judged(run, late._replace(ended_at=None), HEARD)[0] is None


@pytest.mark.parametrize(("age", "status"), [(OLD, None), (OLD + MOMENT, "KILLED")])
def test_a_run_of_a_training_that_was_deleted(age: timedelta, status: str | None):
    """It is ended as killed once it is old: its training may be recorded elsewhere this moment."""
    assert judged(OpenRun("m", "tr-1", NOW - age), None, HEARD)[0] == status


def test_runs_whose_training_has_ended_are_ended(
    here: Platform, runs: Any, tracked: Callable[..., str], tracking: FakeTracking, script: Any
):
    """Each with its training's status, and written down; of those that go on none is touched."""
    done, stopped, alive = tracked(T.COMPLETE), tracked(T.STOPPED), tracked(T.RUNNING)
    script("", EMF_PART="mlflow")
    old = now() - timedelta(hours=2)
    tracking.open |= {"m-gone": OpenRun("m-gone", "tr-ffffffffffff", old)}
    found = {f"MLflow run {run}": Repair.END_TRACKED for run in (f"m-{done}", f"m-{stopped}", "m-gone")}
    assert repairs(reconciled(here, runs)) == {}  # not with every look
    assert repairs(reconciled(here, runs, thorough=True, dry_run=True)) == found
    assert tracking.status == {}
    assert repairs(reconciled(here, runs, thorough=True)) == found
    assert tracking.status == {f"m-{done}": "FINISHED", f"m-{stopped}": "KILLED", "m-gone": "KILLED"}
    assert list(tracking.open) == [f"m-{alive}"]
    with here.records.reading() as session:
        assert {one.training_id for one in written.newest(session, 9)} == {done, stopped, ""}
        told = trainings.events_of(session, "training", done)[-1].message
    assert told == "Put right (end MLflow run): MLflow shows it as RUNNING; its training is COMPLETE"


def test_another_platforms_mlflow_is_not_touched(here: Platform, runs: Any, tracking: FakeTracking, script: Any):
    """What answers may be that of a platform with the same ports: what our records do not know, its own may."""
    script("", EMF_PART="mlflow", EMF_HOME="/elsewhere")
    tracking.open["m"] = OpenRun("m", "tr-ffffffffffff", now() - timedelta(hours=2))
    assert repairs(reconciled(here, runs, thorough=True)) == {}
    assert tracking.status == {}


def test_while_mlflow_is_away_the_rest_is_looked_at(here: Platform, runs: Any, tracking: FakeTracking):
    """And it is said what was not."""
    tracking.is_away = True
    assert reconciled(here, runs, thorough=True).unseen == ["runs in MLflow: MLflow does not answer"]
