"""The life of an experiment, also when MLflow is away."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import pytest

from blocks.errors import BlockError
from blocks.records.errors import InUse, NameTaken, NotFound
from blocks.settings import Settings
from deployments.one_machine.supervisor import Supervisor
from flows.faults import Refused
from tests.platform.batch import Batch
from tests.platform.deadlines import within

Experiment = dict[str, Any]


@pytest.fixture(scope="module")
def in_mlflow(platform: Settings) -> Callable[[str], dict[str, Any]]:
    """Return an experiment as MLflow's API has it."""

    def found(experiment_id: str) -> dict[str, Any]:
        where = f"{platform.mlflow_url}/api/2.0/mlflow/experiments/get"
        answer = httpx.get(where, params={"experiment_id": experiment_id}, trust_env=False)
        experiment = answer.raise_for_status().json()["experiment"]
        return experiment | {"tags": {tag["key"]: tag["value"] for tag in experiment.get("tags", [])}}

    return found


@pytest.fixture(scope="module")
def made(api: ModuleType) -> Experiment:
    """An experiment with description and tags."""
    return api.create_experiment(name="비교 1", description="two lines\nof text", tags={"team": "시험"})


def test_a_new_one_is_active_with_an_mlflow_experiment(made: Experiment, in_mlflow: Callable[[str], dict[str, Any]]):
    """Of the same name, with its description and tags."""
    assert made["state"] == "ACTIVE"
    behind = in_mlflow(made["mlflow_experiment_id"])
    assert behind["name"] == "비교 1"
    assert {"team": "시험", "mlflow.note.content": "two lines\nof text"}.items() <= behind["tags"].items()


def test_a_name_is_taken_once(api: ModuleType, made: Experiment):
    """Creating it again is refused, or answered with the one that is there, as it is, where that is asked."""
    with pytest.raises(NameTaken, match="비교 1"):
        api.create_experiment(name="비교 1")
    assert api.create_experiment(name="비교 1", description="other", if_exists="use") == made


def test_its_faults_are_told_together(api: ModuleType):
    """Name and tags in one answer."""
    with pytest.raises(Refused, match=r"(?s)name \('a/b'\).*tags") as refused:
        api.create_experiment(name="a/b", tags={f"t{n}": "" for n in range(11)})
    assert len(refused.value.faults) == 2


def test_lists_and_pages_show_it(api: ModuleType, batch: Batch, emf: Callable[..., Any]):
    """With the number of its trainings; its page names them."""
    from flows.experiment.flow import list_experiments, show_experiment

    rows = {row["name"]: row for row in api.call(list_experiments, {"limit": 500})}
    shown = api.call(show_experiment, {"experiment": "platform"})
    assert rows["platform"]["trainings"] == len(shown["trainings"]) >= 16
    assert batch["fails"] in {training["id"] for training in shown["trainings"]}


def test_description_and_tags_change_here_and_in_mlflow(
    api: ModuleType, made: Experiment, in_mlflow: Callable[[str], dict[str, Any]]
):
    """Tags are replaced as a whole."""
    from flows.experiment.flow import change_experiment

    given = {"experiment": made["id"], "description": "one", "tags": {"owner": "kim"}}
    assert api.call(change_experiment, given)["tags"] == {"owner": "kim"}

    def follows() -> bool:
        tags = in_mlflow(made["mlflow_experiment_id"])["tags"]
        return tags.get("mlflow.note.content") == "one" and tags.get("owner") == "kim" and "team" not in tags

    within(30, follows, "the change in MLflow")


def test_one_with_trainings_cannot_be_deleted(api: ModuleType, batch: Batch):
    """The answer names them."""
    with pytest.raises(InUse, match="tr-"):
        api.delete_experiment("platform")


def test_one_without_trainings_can(api: ModuleType, in_mlflow: Callable[[str], dict[str, Any]]):
    """It is gone, with its MLflow experiment, and its name is free again."""
    first = api.create_experiment(name="for a moment")
    api.delete_experiment("for a moment")
    with pytest.raises(NotFound):
        api.delete_experiment("for a moment")
    assert in_mlflow(first["mlflow_experiment_id"])["lifecycle_stage"] == "deleted"
    assert api.create_experiment(name="for a moment")["id"] != first["id"]


@pytest.fixture(scope="module")
def without_mlflow(api: ModuleType, platform: Settings, batch: Batch) -> Experiment:
    """An experiment that was created while MLflow was away; it is back."""
    from flows.experiment.flow import show_experiment

    supervisor = Supervisor(platform.home)
    supervisor.stop("mlflow")
    within(60, lambda: not supervisor.programs()["mlflow"].pid, "MLflow's end")
    try:
        with pytest.raises(BlockError, match="MLflow"):
            api.create_experiment(name="later")
        return api.call(show_experiment, {"experiment": "later"})
    finally:
        supervisor.start("mlflow")
        within(180, lambda: answers(f"{platform.mlflow_url}/health"), "MLflow")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_a_creation_that_failed_can_be_tried_again(
    without_mlflow: Experiment, api: ModuleType, in_mlflow: Callable[[str], dict[str, Any]]
):
    """It is kept as CREATE_FAILED, with the reason; the retry makes it ACTIVE."""
    from flows.experiment.flow import retry_experiment

    assert (without_mlflow["state"], without_mlflow["reason"]) == ("CREATE_FAILED", "PLATFORM")
    assert "MLflow" in without_mlflow["message"]
    found = api.call(retry_experiment, {"experiment": "later"})
    assert (found["id"], found["state"]) == (without_mlflow["id"], "ACTIVE")
    assert in_mlflow(found["mlflow_experiment_id"])["name"] == "later"
