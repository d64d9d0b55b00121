"""The main job on real input: handwritten digits, from a script to its model, checkpoints, curves and log."""

import hashlib
import json
from collections.abc import Callable

import pytest

from blocks.platform import Platform
from blocks.settings import Settings
from blocks.storage.location import parse
from tests.platform.batch import EPOCHS, Batch, Training

Run = Callable[[str], dict[str, dict[str, str]]]


@pytest.fixture(scope="module")
def digits(batch: Batch) -> Training:
    return batch.ended("digits")


def test_it_goes_through_its_states_to_complete(digits: Training):
    """Each once, in order, with one attempt; no time is lost on the way."""
    states = [event["state"] for event in digits["events"] if event["state"]]
    assert states == ["CREATE_REQUESTED", "CREATE_IN_PROGRESS", "RUNNING", "COMPLETE_IN_PROGRESS", "COMPLETE"]
    assert len(digits["attempts"]) == 1


def test_its_model_lies_at_the_output_path_with_its_marker(
    digits: Training, connections: Platform, files: Callable[[str], list[str]]
):
    """The marker names every file of the model with its size and SHA-256."""
    assert {"model/model.pt", "model/state_dict.pt", "model/metrics.json", "model.json"} <= set(files(digits["output"]))
    read = connections.storage.read
    marker = json.loads(read(parse(f"{digits['output']}/model.json", 2048)))
    assert marker["training"] == digits["id"]
    assert {file["path"] for file in marker["files"]} == set(files(digits["model"]))
    for file in marker["files"]:
        data = read(parse(f"{digits['model']}/{file['path']}", 2048))
        assert (file["size"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_its_newest_checkpoint_is_committed(digits: Training, connections: Platform, files: Callable[[str], list[str]]):
    """Files, the manifest that names them, and the marker that names the manifest."""
    place = digits["checkpoints"][-1]
    manifest = connections.storage.read(parse(f"{place}.manifest.json", 2048))
    marker = connections.storage.read(parse(f"{place}.committed", 2048))
    assert marker.decode() == hashlib.sha256(manifest).hexdigest()
    assert [file["path"] for file in json.loads(manifest)["files"]] == files(place) == ["checkpoint.pt"]


def test_its_scalars_are_uploaded_and_mirrored(
    digits: Training, connections: Platform, platform: Settings, files: Callable[[str], list[str]]
):
    """The same bytes lie at the output path and where TensorBoard reads."""
    place = f"{digits['output']}/tensorboard"
    sent = {name: connections.storage.read(parse(f"{place}/{name}", 2048)) for name in files(place)}
    assert any("tfevents" in name for name in sent)
    [mirror] = platform.home.glob(f"tensorboard/*/digits-{digits['id'][-6:]}")
    assert {str(file.relative_to(mirror)): file.read_bytes() for file in mirror.rglob("*tfevents*")} == sent


def test_its_mlflow_run_has_all_of_it(digits: Training, mlflow_run: Run):
    """FINISHED, with hyperparameters, what the script logged, tags, and what the machine and its own processes used."""
    run = mlflow_run(digits["mlflow_run_id"])
    assert run["info"]["status"] == "FINISHED"
    assert {"epochs": str(EPOCHS), "learning-rate": "0.005", "batch-size": "32"}.items() <= run["params"].items()
    assert {"team": "시험", "kind": "example"}.items() <= run["tags"].items()
    assert float(run["metrics"]["accuracy"]) > 0.9
    assert "system/cpu_utilization_percentage" in run["metrics"]
    assert float(run["metrics"]["system/training_memory_megabytes"]) > 50
    assert "system/training_cpu_percentage" in run["metrics"]


def test_its_log_has_every_line(digits: Training, log: Callable[[str], list[str]]):
    """Each epoch's, in order, and the last."""
    lines = log(digits["id"])
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in epochs] == [f"epoch {number}/{EPOCHS}" for number in range(1, EPOCHS + 1)]
    assert sum(line.startswith("accuracy 0.9") for line in lines) == 1
