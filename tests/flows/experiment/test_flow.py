"""Making an experiment, also beside another run that makes it, or after one that failed."""

from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import experiments
from blocks.records.errors import NotAllowed
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState
from blocks.tracking.errors import Unreachable
from flows.experiment import flow
from flows.experiment.spec import ExperimentSpec

E = ExperimentState
WAYS = {
    E.CREATE_REQUESTED: [],
    E.CREATE_IN_PROGRESS: [E.CREATE_IN_PROGRESS],
    E.CREATE_FAILED: [E.CREATE_FAILED],
    E.ACTIVE: [E.CREATE_IN_PROGRESS, E.ACTIVE],
}


@pytest.fixture(autouse=True)
def mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow makes one place for each."""
    monkeypatch.setattr(flow, "create_in_mlflow", lambda _platform, _id: "7")


def recorded(here: Platform, *steps: ExperimentState) -> str:
    with here.records.writing() as session:
        row = experiments.record(session, "group", "", {})
        for step in steps:
            transition(session, row, step)
        return row.id


def state(here: Platform) -> tuple[str, str]:
    with here.records.reading() as session:
        row = experiments.find(session, "group")
        return row.state, row.mlflow_id


@pytest.mark.parametrize("way", list(WAYS))
def test_only_an_active_one_is_ready(here: Platform, way: ExperimentState):
    """One that is there is used; unless it is ACTIVE its creation is finished first."""
    experiment_id = recorded(here, *WAYS[way])
    asked = ExperimentSpec(name="group")
    assert flow.record.fn(here, asked, use_existing=True) == (experiment_id, way == E.ACTIVE)


@pytest.mark.parametrize("way", [E.CREATE_REQUESTED, E.CREATE_IN_PROGRESS, E.CREATE_FAILED])
def test_a_creation_is_finished_from_wherever_it_is(here: Platform, way: ExperimentState):
    """Killed on the way, failed, or never begun: it is ACTIVE after that."""
    flow.finish_creation(here, recorded(here, *WAYS[way]))
    assert state(here) == (E.ACTIVE, "7")


@pytest.mark.parametrize("other", ["makes it", "fails"])
def test_two_that_make_it_at_once(here: Platform, monkeypatch: pytest.MonkeyPatch, other: str):
    """Whatever another run does meanwhile, one that got its place makes it ACTIVE."""
    experiment_id = recorded(here)

    def meanwhile(*_given: Any) -> str:
        with here.records.writing() as session:
            row = experiments.find(session, experiment_id)
            transition(session, row, E.ACTIVE if other == "makes it" else E.CREATE_FAILED)
        return "7"

    monkeypatch.setattr(flow, "create_in_mlflow", meanwhile)
    flow.finish_creation(here, experiment_id)
    assert state(here)[0] == E.ACTIVE


def test_a_failure_does_not_undo_what_another_made(here: Platform, monkeypatch: pytest.MonkeyPatch):
    """The one that failed says so; the experiment stays ACTIVE."""
    experiment_id = recorded(here)

    def meanwhile(*_given: Any) -> str:
        with here.records.writing() as session:
            transition(session, experiments.find(session, experiment_id), E.ACTIVE)
        raise Unreachable("away")

    monkeypatch.setattr(flow, "create_in_mlflow", meanwhile)
    with pytest.raises(Unreachable):
        flow.finish_creation(here, experiment_id)
    assert state(here)[0] == E.ACTIVE


def test_what_is_being_deleted_is_not_made(here: Platform):
    """It is refused with its state."""
    experiment_id = recorded(here, *WAYS[E.ACTIVE], E.DELETE_IN_PROGRESS)
    with pytest.raises(NotAllowed, match="DELETE_IN_PROGRESS"):
        flow.finish_creation(here, experiment_id)
