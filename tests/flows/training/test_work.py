"""The verbs behind the flows of trainings, without Prefect around them."""

from collections.abc import Callable
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.errors import KeyReused, NotAllowed
from blocks.records.words import TrainingState
from flows.faults import Refused
from flows.training import work
from flows.training.check import Checked
from flows.training.instances.kept import kept_folder
from flows.training.spec import TrainingSpec

T = TrainingState


@pytest.fixture
def checked(make: Callable[..., str], places: dict[str, Any]) -> Checked:
    """A good request with a warning, in an experiment that is there."""
    make()
    return Checked(TrainingSpec.model_validate(places), ["`--x` is not an option of train.py."])


def count(here: Platform) -> int:
    with here.records.reading() as session:
        return trainings.page(session)[1]


def test_what_is_recorded_is_the_request(here: Platform, checked: Checked):
    """Every field as it was accepted; it is requested, and its warnings are events."""
    training_id = work.record.fn(here, checked, "")
    with here.records.reading() as session:
        row = trainings.find(session, training_id)
        events = [event.message for event in trainings.events_of(session, "training", training_id)]
    assert TrainingSpec.model_validate(row.request) == checked.spec
    assert (row.state, row.experiment.name, row.image) == (T.CREATE_REQUESTED, "group", "pytorch-2.13-cpu-py311")
    assert events == ["Requested.", "Warning: `--x` is not an option of train.py."]


def test_one_key_makes_one_training(here: Platform, checked: Checked, places: dict[str, Any]):
    """Recorded twice under one key there is one; it is found by the request before anything is checked."""
    before = count(here)
    first, second = (work.record.fn(here, checked, "key-1") for _ in range(2))
    assert first == second
    assert count(here) == before + 1
    assert work.already_made.fn(here, places, "key-1") == first
    assert work.already_made.fn(here, places, "key-2") is None
    assert work.already_made.fn(here, places, "") is None


def test_one_key_for_another_request_is_refused(here: Platform, checked: Checked, places: dict[str, Any]):
    """At both looks: before the check and at the record."""
    work.record.fn(here, checked, "key-1")
    other = places | {"hyperparameters": {"learning-rate": "0.2"}}
    with pytest.raises(KeyReused):
        work.already_made.fn(here, other, "key-1")
    with pytest.raises(KeyReused):
        work.record.fn(here, Checked(TrainingSpec.model_validate(other), []), "key-1")


def test_a_broken_request_was_not_made_before(here: Platform, places: dict[str, Any]):
    """What is wrong with it is for the check to say."""
    assert work.already_made.fn(here, places | {"image": 5, "colour": 1}, "key-1") is None


def test_a_copy_starts_from_what_it_is_now(here: Platform, make: Callable[..., str]):
    """Every setting as it was accepted; description and tags as they were changed since."""
    training_id = make(tags={"a": "1"})
    work.change.fn(here, training_id, {"description": "new", "tags": {"b": "2"}})
    request = work.request_of.fn(here, training_id)
    assert (request["description"], request["tags"], request["entry_point"]) == ("new", {"b": "2"}, "train.py")
    TrainingSpec.model_validate(request)


def test_a_wrong_change_changes_nothing(here: Platform, make: Callable[..., str]):
    """Every fault of it at once."""
    training_id = make()
    with pytest.raises(Refused) as caught:
        work.change.fn(here, training_id, {"description": "x" * 256, "tags": {"": "1"}})
    assert len(caught.value.faults) == 2
    assert work.request_of.fn(here, training_id)["tags"] == {"team": "red"}


def test_what_is_alive_is_not_deleted(here: Platform, make: Callable[..., str]):
    """It is refused; what has ended is closed to everything else, and forgotten twice is fine."""
    with pytest.raises(NotAllowed):
        work.begin_delete.fn(here, make(T.RUNNING))
    training_id = make(T.COMPLETE)
    assert work.begin_delete.fn(here, training_id) == training_id
    before = count(here)
    for _ in range(2):
        work.forget.fn(here, training_id)
    assert count(here) == before - 1


def test_a_stop_is_written_down(here: Platform, make: Callable[..., str]):
    """The wish is in the records; asking twice is fine."""
    training_id = make(T.RUNNING)
    for _ in range(2):
        work.wish_stop.fn(here, training_id)
    with here.records.reading() as session:
        assert trainings.find(session, training_id).state == T.STOP_IN_PROGRESS


def test_what_was_kept_of_its_model_goes_with_a_training(here: Platform, make: Callable[..., str]):
    """A deletion is a person's word that nobody wants it any more; said twice is fine."""
    training_id = make(T.FAIL_TRAIN)
    folder = kept_folder(here.settings.home, training_id)
    folder.mkdir(parents=True)
    for _ in range(2):
        work.remove_what_belongs_to.fn(here, training_id)
    assert not folder.parent.exists()
