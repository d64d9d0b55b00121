"""Experiments in the records: unique names, counts, and what guards them from being deleted."""

from collections.abc import Callable

import pytest

from blocks.records import experiments, trainings
from blocks.records.database import Records
from blocks.records.errors import InUse, NameTaken, NotAllowed, NotFound
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState

E = ExperimentState
WAYS = {
    E.CREATE_REQUESTED: [],
    E.CREATE_IN_PROGRESS: [E.CREATE_IN_PROGRESS],
    E.CREATE_FAILED: [E.CREATE_FAILED],
    E.ACTIVE: [E.CREATE_IN_PROGRESS, E.ACTIVE],
    E.DELETE_IN_PROGRESS: [E.CREATE_IN_PROGRESS, E.ACTIVE, E.DELETE_IN_PROGRESS],
    E.DELETE_FAILED: [E.CREATE_IN_PROGRESS, E.ACTIVE, E.DELETE_IN_PROGRESS, E.DELETE_FAILED],
}


def recorded(records: Records, state: ExperimentState, name: str = "실험") -> str:
    with records.writing() as session:
        row = experiments.record(session, name, "what", {"a": "1"})
        for step in WAYS[state]:
            transition(session, row, step)
        return row.id


def test_an_experiment_is_found_by_name_and_by_id(records: Records):
    """Both lead to the same; anything else is not found, and the message says how to see them all."""
    experiment_id = recorded(records, E.ACTIVE)
    with records.reading() as session:
        assert experiments.find(session, "실험").id == experiments.find(session, experiment_id).id == experiment_id
        assert experiments.lookup(session, "none") is None
        with pytest.raises(NotFound, match="emf experiment list"):
            experiments.find(session, "none")


def test_a_name_is_given_once(records: Records):
    """A second experiment of the name is refused, and nothing is recorded."""
    recorded(records, E.ACTIVE)
    with pytest.raises(NameTaken, match="실험"):
        recorded(records, E.ACTIVE)
    with records.reading() as session:
        assert experiments.page(session)[1] == 1


def test_a_page_counts_trainings(records: Records, make: Callable[..., str]):
    """Newest first, each with its number of trainings, and how many experiments there are."""
    make()
    make()
    recorded(records, E.ACTIVE)
    with records.reading() as session:
        rows, total = experiments.page(session, limit=10)
        second, _ = experiments.page(session, limit=1, offset=1)
    assert [(row.name, count) for row, count in rows] == [("실험", 0), ("group", 2)]
    assert total == 2
    assert [row.name for row, _ in second] == ["group"]


@pytest.mark.parametrize("state", [E.CREATE_REQUESTED, E.CREATE_IN_PROGRESS])
def test_what_is_being_created_cannot_be_deleted(records: Records, state: ExperimentState):
    """It is refused with its state."""
    experiment_id = recorded(records, state)
    with records.writing() as session, pytest.raises(NotAllowed, match=state):
        experiments.begin_delete(session, experiments.find(session, experiment_id))


@pytest.mark.parametrize("state", [E.CREATE_FAILED, E.ACTIVE, E.DELETE_IN_PROGRESS, E.DELETE_FAILED])
def test_an_empty_experiment_can_be_deleted_and_again(records: Records, state: ExperimentState):
    """Also one whose creation or deletion failed; after it the name is free."""
    experiment_id = recorded(records, state)
    with records.writing() as session:
        row = experiments.find(session, experiment_id)
        experiments.begin_delete(session, row)
        assert row.state == E.DELETE_IN_PROGRESS
        experiments.forget(session, row)
    with records.writing() as session:
        assert experiments.record(session, "실험", "", {}).id != experiment_id
        assert len(trainings.events_of(session, "experiment", experiment_id)) == 0


def test_an_experiment_with_trainings_says_which(records: Records, make: Callable[..., str]):
    """The message has the first ten with their ids, and how many more there are."""
    ids = [make() for _ in range(12)]
    with records.writing() as session, pytest.raises(InUse) as caught:
        experiments.begin_delete(session, experiments.find(session, "group"))
    said = str(caught.value)
    assert sum(training_id in said for training_id in ids) == 10
    assert "12 training(s)" in said
    assert "and 2 more" in said
