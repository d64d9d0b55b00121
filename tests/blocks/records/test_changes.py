"""What a person changes of a record, and what MLflow is owed of it."""

from collections.abc import Callable

import pytest

from blocks.records import changes, experiments, trainings
from blocks.records.database import Records

Make = Callable[..., str]


@pytest.fixture
def training_id(records: Records, make: Make) -> str:
    """A training with a run in MLflow."""
    made = make(tags={"a": "1"}, description="old")
    with records.writing() as session:
        trainings.find(session, made).mlflow_run_id = "m-1"
    return made


def change(records: Records, training_id: str, **wish: object) -> None:
    with records.writing() as session:
        changes.change(session, trainings.find(session, training_id), **wish)  # type: ignore[arg-type]


def owed(records: Records) -> list[changes.Row]:
    with records.reading() as session:
        return changes.owed(session)


def test_a_change_replaces_what_is_given(records: Records, training_id: str):
    """None stays; tags are replaced as a whole; the request as it was accepted does not change; an event tells it."""
    with records.writing() as session:
        row = trainings.find(session, training_id)
        before = row.changed_at
        changes.change(session, row, tags={"b": "2"})
        assert (row.description, row.tags, row.request["tags"]) == ("old", {"b": "2"}, {"a": "1"})
        changes.change(session, row, description="")
        assert (row.description, row.tags) == ("", {"b": "2"})
        assert row.changed_at > before
        assert "changed" in trainings.events_of(session, "training", training_id)[-1].message


def test_tags_that_left_are_owed_until_mlflow_was_told(records: Records, training_id: str):
    """Also over several changes; one that came back is owed no more, and nothing is once it was told."""
    assert owed(records) == []
    change(records, training_id, tags={"b": "2"})
    change(records, training_id, tags={"c": "3"})
    assert [row.mlflow_owed for row in owed(records)] == [["a", "b"]]
    change(records, training_id, tags={"a": "4"})
    [sent] = owed(records)
    assert sent.mlflow_owed == ["b", "c"]
    with records.writing() as session:
        changes.told(trainings.find(session, training_id), sent)
    assert owed(records) == []


def test_what_was_changed_while_mlflow_was_told_stays_owed(records: Records, training_id: str):
    """With the tags that MLflow was given in the meantime among those to be removed."""
    change(records, training_id, tags={"b": "2"})
    [sent] = owed(records)
    change(records, training_id, tags={"c": "3"})
    with records.writing() as session:
        changes.told(trainings.find(session, training_id), sent)
    assert [row.mlflow_owed for row in owed(records)] == [["a", "b"]]


def test_nothing_is_owed_where_mlflow_has_no_copy(records: Records, make: Make):
    """It is once there is one: the run that is being made may have the old words."""
    training_id = make(tags={"a": "1"})
    change(records, training_id, description="new")
    assert owed(records) == []
    with records.writing() as session:
        group = experiments.find(session, "group")
        changes.change(session, group, description="new")
        group.mlflow_id = trainings.find(session, training_id).mlflow_run_id = "m-1"
    assert [row.id for row in owed(records)] == [training_id, group.id]
