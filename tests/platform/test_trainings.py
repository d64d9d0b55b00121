"""What people do with trainings: ask twice, copy, change, find, delete."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import pytest

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.records.errors import KeyReused, NotAllowed, NotFound
from blocks.settings import Settings
from flows.faults import Refused
from tests.platform.batch import ENDS, Batch, Training
from tests.platform.deadlines import within

Asked = Callable[..., dict[str, Any]]
EXPERIMENT = "found again"


@pytest.fixture(scope="module")
def first(api: ModuleType, asked: Asked) -> dict[str, Any]:
    """A request with a key, sent once."""
    request = asked("keyed", experiment=EXPERIMENT, tags={"team": "시험", "round": "1"}) | {"request_key": "the key"}
    return {"request": request, "made": api.create_training(**request)}


@pytest.fixture(scope="module")
def copied(api: ModuleType, first: dict[str, Any]) -> Training:
    """A copy of it with changes."""
    changes = {"name": "copied", "hyperparameters": {"epochs": 2}, "tags": {"team": "시험"}}
    return api.copy_training(first["made"]["id"], **changes)


@pytest.fixture(scope="module")
def ended(api: ModuleType, first: dict[str, Any], copied: Training) -> Training:
    """The first, ended, as the copy has."""
    assert api.wait_for(copied["id"], seconds=ENDS)["state"] == "COMPLETE"
    return api.wait_for(first["made"]["id"], seconds=ENDS)


def test_the_same_request_with_the_same_key_is_one_training(api: ModuleType, first: dict[str, Any]):
    """The second answer is the training that the first made."""
    assert api.create_training(**first["request"])["id"] == first["made"]["id"]
    assert len(api.list_trainings(experiment=EXPERIMENT, tags={"round": "1"})) == 1


def test_another_request_with_the_same_key_is_refused(api: ModuleType, first: dict[str, Any]):
    """The answer names the training that the key belongs to."""
    with pytest.raises(KeyReused, match=first["made"]["id"]):
        api.create_training(**first["request"] | {"description": "another"})


def test_a_copy_has_every_setting_but_those_changed(first: dict[str, Any], copied: Training):
    """Its request is the other's, with the changes as they would have been written."""
    changes = {"name": "copied", "hyperparameters": {"epochs": "2"}, "tags": {"team": "시험"}}
    assert copied["request"] == first["made"]["request"] | changes
    assert copied["id"] != first["made"]["id"]


def test_a_copys_faults_are_told_as_any_others(api: ModuleType, first: dict[str, Any]):
    """Also a setting that does not exist."""
    with pytest.raises(Refused, match=r"(?s)instance_count \(11\).*epoch.*no such"):
        api.copy_training(first["made"]["id"], instance_count=11, epoch=3)


def test_description_and_tags_change_here_and_in_mlflow(
    api: ModuleType, ended: Training, mlflow_run: Callable[[str], dict[str, Any]]
):
    """Both at once; tags are replaced as a whole, and what is not named stays."""
    from flows.training.flow import change_training

    changed = api.call(change_training, {"training": ended["id"], "description": "다시", "tags": {"team": "blue"}})
    assert (changed["description"], changed["tags"]) == ("다시", {"team": "blue"})

    def follows() -> bool:
        tags = mlflow_run(ended["mlflow_run_id"])["tags"]
        return tags.get("mlflow.note.content") == "다시" and tags.get("team") == "blue" and "round" not in tags

    within(30, follows, "the change in MLflow")
    kept = api.call(change_training, {"training": ended["id"], "description": "neu", "change_tags": False})
    assert (kept["description"], kept["tags"]) == ("neu", {"team": "blue"})


def test_lists_filter_and_turn_pages(api: ModuleType, ended: Training, copied: Training, batch: Batch):
    """By experiment, state and tag, newest first; pages follow each other without gap."""
    names = [row["name"] for row in api.list_trainings(experiment=EXPERIMENT)]
    assert names == ["copied", "keyed"]
    assert [row["id"] for row in api.list_trainings(experiment=EXPERIMENT, tags={"team": "시험"})] == [copied["id"]]
    batch.ended("fails")
    failed = {row["name"] for row in api.list_trainings(states=["FAIL_TRAIN"], limit=500)}
    assert "fails" in failed
    assert not failed & {"copied", "keyed"}
    everything = [row["id"] for row in api.list_trainings(limit=500)]
    pages = [row["id"] for at in range(0, len(everything), 4) for row in api.list_trainings(limit=4, offset=at)]
    assert pages == everything


def test_one_that_runs_cannot_be_deleted(api: ModuleType, asked: Asked):
    """The answer says that it must be stopped first, and how."""
    running = api.create_training(**asked("kept", entry_point="counts.py"))["id"]
    with pytest.raises(NotAllowed, match=f"emf training stop {running}"):
        api.delete_training(running)
    api.stop_training(running)
    assert api.wait_for(running, seconds=ENDS)["state"] == "STOPPED"


@pytest.fixture(scope="module")
def deleted(api: ModuleType, copied: Training, ended: Training) -> Training:
    """The copy, as it was before it was deleted; its TensorBoard was open."""
    page = api.tensorboard(training=copied["id"])
    assert httpx.get(page, trust_env=False, timeout=30).is_success
    before = api.show_training(copied["id"])
    assert before["pages"]["tensorboard"] == page
    api.delete_training(copied["id"])
    return before


def test_a_deleted_training_is_gone(
    deleted: Training, api: ModuleType, connections: Platform, platform: Settings, mlflow_run: Callable[[str], Training]
):
    """Its record, its log, its TensorBoard with its files, and its MLflow run."""
    with pytest.raises(NotFound):
        api.show_training(deleted["id"])
    with pytest.raises(BlockError, match="no training"):
        api.delete_training(deleted["id"])
    assert connections.logs.tail(deleted["id"], 10) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(deleted["pages"]["tensorboard"], trust_env=False)
    assert f"tensorboard-{deleted['id']}" not in connections.host.names()
    assert list(platform.home.glob(f"tensorboard/*/*{deleted['id'][-6:]}")) == []
    assert mlflow_run(deleted["mlflow_run_id"])["info"]["lifecycle_stage"] == "deleted"


def test_what_a_deleted_training_put_out_is_kept(deleted: Training, files: Callable[[str], list[str]]):
    """Its model is the user's."""
    assert {"model/model.txt", "model.json"} <= set(files(deleted["output"]))
