"""MLflow's copy of descriptions and tags, over real records; only MLflow's side is kept in memory."""

from collections.abc import Callable
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import experiments, trainings
from blocks.records.changes import owed
from blocks.tracking.errors import NotFound, Unreachable
from flows.controller.watch import Watch
from flows.experiment import flow
from flows.training import work
from tests.flows.controller.conftest import FakeTracking


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


def test_mlflow_follows(here: Platform, watch: Watch, changed: str, tracking: FakeTracking):
    """The description, the tags, and those that are gone; told once."""
    watch.tell_changes()
    assert tracking.copies == {"m-1": ("new", {"b": "2"}, ["a"]), "7": ("all", {}, [])}
    tracking.copies.clear()
    watch.tell_changes()
    assert tracking.copies == {}


def test_while_mlflow_is_away_a_change_is_done_and_told_later(
    here: Platform, watch: Watch, changed: str, tracking: FakeTracking
):
    """The record has it at once; MLflow gets it at a later round."""
    assert work.describe.fn(here, changed)["description"] == "new"
    tracking.fault = Unreachable("away")
    with pytest.raises(Unreachable):
        watch.tell_changes()
    tracking.fault = None
    watch.tell_changes()
    assert tracking.copies["m-1"] == ("new", {"b": "2"}, ["a"])
    assert left(here) == []


def test_what_mlflow_refuses_is_not_asked_for_ever(here: Platform, watch: Watch, changed: str, tracking: FakeTracking):
    """An event says so; what is changed after that is told again."""
    tracking.fault = NotFound("no such run")
    watch.tell_changes()
    assert left(here) == []
    with here.records.reading() as session:
        said = [event.message for event in trainings.events_of(session, "training", changed)]
    assert "MLflow did not take its description and tags: no such run" in said


def test_a_change_in_the_middle_is_told_as_well(here: Platform, watch: Watch, changed: str, tracking: FakeTracking):
    """MLflow was told of the change before; the next round brings the last one."""

    def meanwhile() -> Any:
        tracking.meanwhile = lambda: None
        flow.change.fn(here, "group", {"description": "last"})

    tracking.meanwhile = meanwhile
    watch.tell_changes()
    watch.tell_changes()
    with here.records.reading() as session:
        assert experiments.find(session, "group").mlflow_owed is None
    assert tracking.copies["7"][0] == "last"
