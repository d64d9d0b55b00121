"""The digits examples in the images that they are written for, as trainings and by hand."""

import json
import os
import subprocess
from pathlib import Path

import pytest

DIGITS = Path(__file__).parents[2] / "docs" / "examples" / "digits"
SCRIPTS = [("pytorch", "train.py", "model.pt"), ("tensorflow", "train_tf.py", "saved_model.pb")]


@pytest.fixture(scope="module")
def data(tmp_path_factory, image) -> Path:
    """The prepared data set."""
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([image("pytorch"), DIGITS / "prepare.py", folder], check=True, timeout=120)
    return folder


@pytest.mark.parametrize(("name", "script", "model"), SCRIPTS)
def test_training_reads_digits_and_goes_on_from_a_checkpoint(tmp_path, launch, image, data, name, script, model):
    """With the platform's variables 95 % are read right, and a second training goes on from there."""
    folders = {
        "EM_DATASET_DIGITS": data,
        "EM_MODEL_DIR": tmp_path / "model",
        "EM_CHECKPOINT_DIR": tmp_path / "checkpoint",
        "EM_CHECKPOINT_INPUT_DIR": tmp_path / "input",
        "EM_TENSORBOARD_LOG_DIR": tmp_path / "board",
    }
    env = {variable: str(folder) for variable, folder in folders.items()} | {"HOME": str(tmp_path)}
    words = {"python": image(name), "threads": 1, "env": env}
    one = launch("", argv=[str(DIGITS / script), "--unknown", "1"], **words)
    assert one.end()["exit_code"] == 0, one.output
    assert "epoch 20/20" in one.output
    assert json.loads((tmp_path / "model" / "metrics.json").read_text())["accuracy"] > 0.95
    assert (tmp_path / "model" / model).stat().st_size
    assert list((tmp_path / "board").rglob("events.out.tfevents.*"))

    (tmp_path / "checkpoint").rename(tmp_path / "input")
    two = launch("", argv=[str(DIGITS / script), "--epochs", "21"], **words)
    assert two.end()["exit_code"] == 0, two.output
    assert "Going on after epoch 20" in two.output
    assert [line.split(":")[0] for line in two.output.splitlines() if line.startswith("epoch")] == ["epoch 21/21"]
    assert list((tmp_path / "checkpoint").iterdir())


def test_script_runs_by_hand(tmp_path, image, data):
    """Without any of the platform's variables everything goes into the folder `output`."""
    (tmp_path / "data").symlink_to(data)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    words = [image("pytorch"), DIGITS / "train.py", "--epochs", "1"]
    subprocess.run(words, cwd=tmp_path, env=env, check=True, timeout=120)
    assert {file.name for file in (tmp_path / "output").iterdir()} == {"model", "checkpoint", "tensorboard"}


def test_two_processes_learn_one_model(tmp_path, launch, image, data):
    """With torchrun each process has its share, only the first writes, and a second training goes on from it."""
    for epochs, words in ((8, "epoch 8/8"), (9, "Going on after epoch 8")):
        env = {
            "EM_DATASET_DIGITS": str(data),
            "EM_MODEL_DIR": str(tmp_path / "model"),
            "EM_CHECKPOINT_DIR": str(tmp_path / "checkpoint"),
            "EM_CHECKPOINT_INPUT_DIR": str(tmp_path / "checkpoint"),
            "EM_TENSORBOARD_LOG_DIR": str(tmp_path / "board"),
        }
        argv = [str(DIGITS / "train.py"), "--epochs", str(epochs)]
        one = launch("", image("pytorch"), argv=argv, env=env, threads=2, torchrun={"nproc_per_node": 2})
        assert one.end()["exit_code"] == 0, one.output
        assert words in one.output
        assert one.output.count(f"epoch {epochs}/{epochs}:") == 1
    assert json.loads((tmp_path / "model" / "metrics.json").read_text())["accuracy"] > 0.9
    assert len(list((tmp_path / "board").iterdir())) == 2
