"""The digits once more, with TensorFlow: its environment is made when the first training needs it."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from blocks.platform import Platform
from blocks.storage.location import parse

SECONDS = 500  # its environment takes a minute or two, where nothing of it is cached


def test_it_completes(
    api: ModuleType,
    asked: Callable[..., dict[str, Any]],
    connections: Platform,
    files: Callable[[str], list[str]],
    mlflow_run: Callable[[str], dict[str, Any]],
):
    """A SavedModel with its marker, scalars, a committed checkpoint, and more than nine of ten digits read."""
    request = asked(
        "digits with TensorFlow",
        algorithm_path="code/digits",
        entry_point="train_tf.py",
        image="tensorflow-2.21-cpu-py311",
        instance_type="cpu.medium",
        hyperparameters={"epochs": "10"},
        data_sets=[{"name": "digits", "path": "data/digits"}],
    )
    found = api.wait_for(api.create_training(**request)["id"], seconds=SECONDS)
    assert found["state"] == "COMPLETE", (found["message"], found["evidence"])
    made = files(found["output"])
    assert {"model.json", "model/saved_model.pb", "model/metrics.json"} <= set(made)
    assert any(name.startswith("tensorboard/") and "tfevents" in name for name in made)
    assert connections.storage.stat(parse(f"{found['checkpoints'][-1]}.committed", 2048))
    metrics = json.loads(connections.storage.read(parse(f"{found['model']}/metrics.json", 2048)))
    assert metrics["accuracy"] > 0.9
    run = mlflow_run(found["mlflow_run_id"])
    assert (run["info"]["status"], run["params"]["epochs"]) == ("FINISHED", "10")
