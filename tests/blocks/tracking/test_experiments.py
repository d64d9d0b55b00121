"""Experiments on a real MLflow server."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from blocks.tracking import Tracking
from blocks.tracking.errors import NotFound, Rejected


def seen(tracking: Tracking, experiment_id: str) -> tuple[str, str, dict[str, str]]:
    experiment: dict[str, Any] = tracking._rest.get("experiments/get", experiment_id=experiment_id)["experiment"]
    tags = {tag["key"]: tag["value"] for tag in experiment.get("tags", [])}
    return experiment["name"], experiment["lifecycle_stage"], tags


def test_the_same_again(tracking: Tracking, key: str, name: str) -> None:
    """Asked twice, also by eight at once, there is one experiment, with its name, our id and the user's tags."""
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: tracking.ensure_experiment(key, name, {"team": "비전", "a/b?": "x"}), range(8)))
    assert len(ids) == 1
    experiment_name, stage, tags = seen(tracking, ids.pop())
    assert (experiment_name, stage) == (name, "active")
    assert tags["easymaker.experiment_id"] == key
    assert tags["team"] == "비전"
    assert "x" in tags.values()


def test_deleted_or_renamed_in_mlflow(tracking: Tracking, key: str, name: str) -> None:
    """What somebody deleted or renamed in MLflow is the same experiment again, under its own name."""
    experiment_id = tracking.ensure_experiment(key, name, {})
    tracking._rest.post("experiments/update", {"experiment_id": experiment_id, "new_name": f"{name} mine"})
    tracking._rest.post("experiments/delete", {"experiment_id": experiment_id})
    assert tracking.ensure_experiment(key, name, {}) == experiment_id
    assert seen(tracking, experiment_id)[:2] == (name, "active")


def test_delete_frees_the_name(tracking: Tracking, key: str, name: str) -> None:
    """Deleting can be repeated, and a new experiment may have the name without getting the old one's runs."""
    old = tracking.ensure_experiment(key, name, {})
    tracking.delete_experiment(old)
    tracking.delete_experiment(old)
    tracking.delete_experiment("987654321")
    assert seen(tracking, old)[1] == "deleted"
    new = tracking.ensure_experiment(f"{key}-2", name, {})
    assert new != old
    assert seen(tracking, new)[:2] == (name, "active")


def test_name_of_one_deleted_by_hand(tracking: Tracking, key: str, name: str) -> None:
    """An experiment deleted in MLflow gives its name to a new one and stays deleted."""
    old = tracking.ensure_experiment(key, name, {})
    tracking._rest.post("experiments/delete", {"experiment_id": old})
    new = tracking.ensure_experiment(f"{key}-2", name, {})
    assert new != old
    assert seen(tracking, old)[1] == "deleted"


def test_adopted(tracking: Tracking, key: str, name: str) -> None:
    """An experiment that somebody made by hand under the name is used, and carries our id from then on."""
    made = tracking._rest.post("experiments/create", {"name": name})["experiment_id"]
    assert tracking.ensure_experiment(key, name, {}) == made
    assert seen(tracking, made)[2]["easymaker.experiment_id"] == key


def test_taken(tracking: Tracking, key: str, name: str) -> None:
    """An experiment with another id of ours is not taken over: who has the name is said."""
    tracking.ensure_experiment(key, name, {})
    with pytest.raises(Rejected, match=key):
        tracking.ensure_experiment("another", name, {})


def test_change(tracking: Tracking, key: str, name: str) -> None:
    """The description and tags given are set, the others stay; None leaves the description."""
    experiment_id = tracking.ensure_experiment(key, name, {"a": "1", "b": "1"})
    tracking.change_experiment(experiment_id, "설명\nline", {"b": "2"})
    tracking.change_experiment(experiment_id, None, {"c": "3"})
    tags = seen(tracking, experiment_id)[2]
    assert {k: tags[k] for k in ("a", "b", "c", "mlflow.note.content")} == {
        "a": "1",
        "b": "2",
        "c": "3",
        "mlflow.note.content": "설명\nline",
    }
    tracking.change_experiment(experiment_id, None, {}, gone=["a", "never there"])
    assert "a" not in seen(tracking, experiment_id)[2]
    with pytest.raises(NotFound):
        tracking.change_experiment("987654321", "x", {})


def test_hostile_id(tracking: Tracking, name: str) -> None:
    """An id that would end the filter's quote never gets into one."""
    with pytest.raises(Rejected, match="no id"):
        tracking.ensure_experiment("x' OR '1'='1", name, {})
