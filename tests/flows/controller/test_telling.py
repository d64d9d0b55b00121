"""MLflow's copy of descriptions and tags, over real records; only MLflow's side is kept in memory."""

from collections.abc import Callable
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import experiments, trainings
from blocks.records.changes import owed
from blocks.tracking.errors import NotFound, Unreachable
from flows.controller.telling import Telling
from flows.experiment import flow
from flows.reconcile.in_turn import FAULTS_A_ROUND, LONGEST_PAUSE_SECONDS, InTurn
from flows.training import work
from tests.flows.controller.conftest import FakeTracking
from tests.flows.reconcile.conftest import Clock


@pytest.fixture
def telling(here: Platform, tracking: FakeTracking, clock: Clock) -> Telling:
    return Telling(here, InTurn(clock))


@pytest.fixture
def changed(here: Platform, make: Callable[..., str]) -> str:
    """A training whose description and tags were changed, and those of its experiment."""
    training_id = make(tags={"a": "1"})
    with here.records.writing() as session:
        trainings.find(session, training_id).mlflow_run_id = "m-1"
    work.change.fn(here, training_id, {"description": "new", "tags": {"b": "2"}})
    flow.change.fn(here, "group", {"description": "all"})
    return training_id


def left(here: Platform) -> list[str]:
    with here.records.reading() as session:
        return [row.id for row in owed(session)]


def test_mlflow_follows(here: Platform, telling: Telling, changed: str, tracking: FakeTracking):
    """The description, the tags, and those that are gone; told once."""
    telling.tell_changes()
    assert tracking.copies == {"m-1": ("new", {"b": "2"}, ["a"]), "7": ("all", {}, [])}
    tracking.copies.clear()
    telling.tell_changes()
    assert tracking.copies == {}


def test_while_mlflow_is_away_a_change_is_done_and_told_later(
    here: Platform, telling: Telling, changed: str, tracking: FakeTracking, clock: Clock
):
    """The record has it at once; MLflow gets it at a later round."""
    assert work.describe.fn(here, changed)["description"] == "new"
    tracking.fault = Unreachable("away")
    with pytest.raises(Unreachable):
        telling.tell_changes()
    tracking.fault = None
    clock.now += LONGEST_PAUSE_SECONDS
    telling.tell_changes()
    assert tracking.copies["m-1"] == ("new", {"b": "2"}, ["a"])
    assert left(here) == []


def test_what_mlflow_refuses_is_not_asked_for_ever(
    here: Platform, telling: Telling, changed: str, tracking: FakeTracking
):
    """An event says so; what is changed after that is told again."""
    tracking.fault = NotFound("no such run")
    telling.tell_changes()
    assert left(here) == []
    with here.records.reading() as session:
        said = [event.message for event in trainings.events_of(session, "training", changed)]
    assert "MLflow did not take its description and tags: no such run" in said


def test_a_change_in_the_middle_is_told_as_well(here: Platform, telling: Telling, changed: str, tracking: FakeTracking):
    """MLflow was told of the change before; the next round brings the last one."""

    def meanwhile() -> Any:
        tracking.meanwhile = lambda: None
        flow.change.fn(here, "group", {"description": "last"})

    tracking.meanwhile = meanwhile
    telling.tell_changes()
    telling.tell_changes()
    with here.records.reading() as session:
        assert experiments.find(session, "group").mlflow_owed is None
    assert tracking.copies["7"][0] == "last"


@pytest.fixture
def asked(tracking: FakeTracking, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What MLflow was asked to change; it fails at every run whose id begins with `bad`."""
    found: list[str] = []
    change = tracking.change_run

    def fail_at_some(run_id: str, *words: Any, **named: Any) -> None:
        found.append(run_id)
        if run_id.startswith("bad"):
            raise Unreachable(f"500 for {run_id}")
        change(run_id, *words, **named)

    monkeypatch.setattr(tracking, "change_run", fail_at_some)
    return found


def change_runs(here: Platform, make: Callable[..., str], *run_ids: str) -> None:
    for run_id in run_ids:
        training_id = make(name=run_id)
        with here.records.writing() as session:
            trainings.find(session, training_id).mlflow_run_id = run_id
        work.change.fn(here, training_id, {"description": "new"})


def test_one_that_always_fails_holds_up_no_other(
    here: Platform, telling: Telling, make: Callable[..., str], asked: list[str]
):
    """Those behind it are told in the same round; its fault is raised at the end, and it alone stays owed."""
    change_runs(here, make, "bad", "m-1", "m-2")
    with pytest.raises(Unreachable, match="500 for bad"):
        telling.tell_changes()
    assert asked == ["bad", "m-1", "m-2"]
    assert len(left(here)) == 1


def test_one_that_fails_is_asked_for_less_and_less_often(
    here: Platform, telling: Telling, make: Callable[..., str], asked: list[str], clock: Clock
):
    """Within its pause a round passes it over in peace; the pause doubles."""
    change_runs(here, make, "bad")
    for pause in (2, 4, 8):
        with pytest.raises(Unreachable):
            telling.tell_changes()
        clock.now += pause - 1
        telling.tell_changes()
        clock.now += 1
    assert asked == ["bad"] * 3


def test_an_mlflow_that_is_away_takes_little_of_a_round(
    here: Platform, telling: Telling, make: Callable[..., str], asked: list[str]
):
    """After a few faults the round goes on with all else; the next one begins with those that have not been tried."""
    change_runs(here, make, *(f"bad-{number}" for number in range(FAULTS_A_ROUND + 1)))
    for _ in range(2):
        with pytest.raises(Unreachable):
            telling.tell_changes()
    assert asked == [f"bad-{number}" for number in range(FAULTS_A_ROUND + 1)]
