"""A script that only says `mlflow.autolog()`: what MLflow sees lands in the training's own run."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.platform.batch import Batch, Training


@pytest.fixture(scope="module")
def ended(batch: Batch) -> Training:
    return batch.ended("autolog")


def test_what_autologging_sees_is_in_the_trainings_run(ended: Training, mlflow_run: Callable[[str], dict[str, Any]]):
    """Parameters, metrics and the model; a hyperparameter keeps the value that was asked for."""
    assert ended["state"] == "COMPLETE", ended["message"]
    run = mlflow_run(ended["mlflow_run_id"])
    assert run["info"]["status"] == "FINISHED"
    assert {"alpha": "1e-1", "max_iter": "20"}.items() <= run["params"].items()
    assert float(run["metrics"]["training_accuracy_score"]) > 0.8
    assert run["outputs"]["model_outputs"]


def test_a_training_without_a_model_names_none(ended: Training):
    """It left nothing in EM_MODEL_DIR: that is a warning, and no path is shown as its model."""
    assert ended["model"] == ""
    assert any("there is no model" in event["message"] for event in ended["events"])
