"""What a script finds when it starts."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.catalogue.catalogue import Framework
from flows.training.fields import environment_name
from flows.training.instances.contract import (
    INHERITED,
    Folders,
    Ids,
    Rank,
    Site,
    arguments,
    environment,
)
from flows.training.spec import TrainingSpec, parse

ROOT = Path("/work/attempt")
FOLDERS = Folders(
    source=ROOT / "source",
    data_sets={"train-set": ROOT / "data/train-set", "t.1": ROOT / "data/t.1"},
    model=ROOT / "model",
    checkpoint_input=ROOT / "checkpoint_input",
    checkpoint=ROOT / "checkpoint",
    tensorboard=ROOT / "tensorboard",
    home=ROOT / "home",
    tmp=ROOT / "tmp",
)
IDS = Ids(training="t-1", attempt="t-1.2", experiment="e-1", mlflow_run="r-1", mlflow_experiment="7")
ALONE = Rank(0, 1, ("127.0.0.1",), 29500)
PYTORCH = Site(Framework.PYTORCH, Path("/env/bin"), "KR1", "appkey", "http://127.0.0.1:5000")
TENSORFLOW = Site(Framework.TENSORFLOW, Path("/env/bin"), "KR1", "appkey", "http://127.0.0.1:5000")
SPEC = parse(
    {
        "name": "digits",
        "experiment": "e",
        "algorithm_path": "file:///code",
        "entry_point": "src/train.py",
        "hyperparameters": {"learning-rate": 0.1, "Epochs": 3, "note": "한글 a=b"},
        "image": "pytorch",
        "instance_type": "cpu.small",
        "output_path": "file:///output",
        "data_sets": [{"name": "train-set", "path": "file:///a"}, {"name": "t.1", "path": "file:///b"}],
    }
)


def made(
    spec: TrainingSpec = SPEC,
    rank: Rank = ALONE,
    gpus: tuple[str, ...] | None = (),
    site: Site = PYTORCH,
    platform: dict[str, str] | None = None,
) -> dict[str, str]:
    return environment(spec, FOLDERS, IDS, rank, gpus, site, platform or {})


def test_the_whole_environment_of_one_instance():
    """Nothing is missing from the contract and nothing else is there."""
    assert made() == {
        "PATH": "/env/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/work/attempt/home",
        "TMPDIR": "/work/attempt/tmp",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
        "MLFLOW_RUN_ID": "r-1",
        "MLFLOW_EXPERIMENT_ID": "7",
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
        "EM_HP_LEARNING_RATE": "0.1",
        "EM_HP_EPOCHS": "3",
        "EM_HP_NOTE": "한글 a=b",
        "EM_HPS": '{"learning-rate": "0.1", "Epochs": "3", "note": "한글 a=b"}',
        "EM_DATASET_TRAIN_SET": "/work/attempt/data/train-set",
        "EM_DATASET_T_1": "/work/attempt/data/t.1",
        "EM_DATASETS": '{"train-set": "/work/attempt/data/train-set", "t.1": "/work/attempt/data/t.1"}',
        "EM_SOURCE_DIR": "/work/attempt/source",
        "EM_ENTRY_POINT": "src/train.py",
        "EM_MODEL_DIR": "/work/attempt/model",
        "EM_CHECKPOINT_INPUT_DIR": "/work/attempt/checkpoint_input",
        "EM_CHECKPOINT_DIR": "/work/attempt/checkpoint",
        "EM_TENSORBOARD_LOG_DIR": "/work/attempt/tensorboard",
        "EM_REGION": "KR1",
        "EM_APPKEY": "appkey",
        "EM_EXPERIMENT_ID": "e-1",
        "EM_TRAINING_ID": "t-1",
        "EMF_ATTEMPT": "t-1.2",
    }


def test_hyperparameters_become_arguments_as_they_are_called():
    """`--key value` in the request's order; a dash stays a dash."""
    assert arguments(SPEC.hyperparameters) == ["--learning-rate", "0.1", "--Epochs", "3", "--note", "한글 a=b"]


def test_a_value_that_looks_like_an_option_is_tied_to_its_key():
    """Negative numbers that argparse knows stay apart; `-1e-5` and `-x` would be taken for options."""
    assert arguments({"a": "-5", "b": "-0.5", "c": "-1e-5", "d": "--x", "e": "-"}) == [
        "--a", "-5", "--b", "-0.5", "--c=-1e-5", "--d=--x", "--e=-",
    ]  # fmt: skip


KEYS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_argparse_reads_every_value_back(hyperparameters: dict[str, str]):
    """Whatever a value holds, the real argparse gives the script that value."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    for place, key in enumerate(hyperparameters):
        parser.add_argument(f"--{key}", dest=f"d{place}")
    read = vars(parser.parse_args(arguments(hyperparameters)))
    assert list(read.values()) == list(hyperparameters.values())


NAMES = st.sampled_from(
    ["PATH", "EMF_HOME", "EMF_OBJECT_STORE_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "PREFECT_API_KEY", *INHERITED]
) | st.text(st.characters(exclude_characters="=\x00"), min_size=1)


@given(st.dictionaries(NAMES, st.text(min_size=1).map("platform:".__add__)))
def test_only_certificates_come_from_the_platform(platform: dict[str, str]):
    """Whatever the platform's environment holds, a script sees of it only where certificates lie."""
    found = {name: value for name, value in made(platform=platform).items() if value.startswith("platform:")}
    assert found == {name: value for name, value in platform.items() if name in INHERITED}


def test_no_inherited_name_is_like_a_secrets():
    """The list of what is taken over names nothing but certificates."""
    assert not [name for name in INHERITED if not any(word in name for word in ("CERT", "CA_BUNDLE", "SSL"))]


@settings(deadline=None)
@given(st.dictionaries(KEYS | st.sampled_from(["PATH", "S", "HPS", "LD_PRELOAD"]), VALUES, max_size=6))
def test_hyperparameters_stay_among_themselves(hyperparameters: dict[str, str]):
    """They add EM_HP_ variables and EM_HPS, each key once, and change no other."""
    seen = {environment_name(key): key for key in hyperparameters}
    given_ones = {key: hyperparameters[key] for key in seen.values()}
    plain, full = (made(SPEC.model_copy(update={"hyperparameters": each})) for each in ({}, given_ones))
    assert {name: value for name, value in full.items() if not name.startswith("EM_HP")} == {
        name: value for name, value in plain.items() if not name.startswith("EM_HP")
    }
    assert len(full) - len(plain) == len(given_ones)
    assert json.loads(full["EM_HPS"]) == given_ones
    assert all(full[f"EM_HP_{environment_name(key)}"] == value for key, value in given_ones.items())


def test_the_largest_hyperparameters_start_a_process():
    """What the limits allow, the kernel takes: a real process reads all of it back."""
    spec = SPEC.model_copy(update={"hyperparameters": {f"{n:03}" + "k" * 252: "v" * 1000 for n in range(100)}})
    script = "import os, json, sys; print(len(json.loads(os.environ['EM_HPS'])), len(sys.argv))"
    command = [sys.executable, "-c", script, *arguments(spec.hyperparameters)]
    done = subprocess.run(command, env=made(spec), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["100", "201"]


def test_tensorflow_instances_find_each_other():
    """TF_CONFIG names every worker with a port of its own, also when all are on one host; one instance has none."""
    config = json.loads(made(rank=Rank(1, 2, ("h", "h"), 4000), site=TENSORFLOW)["TF_CONFIG"])
    assert config == {"cluster": {"worker": ["h:4000", "h:4001"]}, "task": {"type": "worker", "index": 1}}
    assert "TF_CONFIG" not in made(site=TENSORFLOW)
    assert "TF_CONFIG" not in made(rank=Rank(1, 2, ("h", "h"), 4000))


def test_pytorch_instances_find_each_other():
    """The rank is the instance's, the master is instance 0, and each instance's system metrics have a name."""
    found = made(rank=Rank(2, 3, ("a", "b", "c"), 4000))
    expected = {"RANK": "2", "NODE_RANK": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "3"}
    expected |= {"MASTER_ADDR": "a", "MASTER_PORT": "4000", "MLFLOW_SYSTEM_METRICS_NODE_ID": "2"}
    assert found.items() >= expected.items()


def test_one_instance_alone_is_not_taken_for_one_of_many():
    """LOCAL_RANK and NODE_RANK make libraries wait for others: alone they are not there."""
    assert not {"LOCAL_RANK", "NODE_RANK", "LOCAL_WORLD_SIZE"} & set(made())


def test_torchrun_sets_the_local_ranks_itself():
    """Where it starts the processes, the contract leaves them to it."""
    spec = SPEC.model_copy(update={"use_torchrun": True, "processes_per_node": 4, "instance_count": 2})
    assert not {"LOCAL_RANK", "LOCAL_WORLD_SIZE"} & set(made(spec, Rank(1, 2, ("a", "b"), 4000)))


def test_gpus_are_those_held():
    """Those held are visible; without any, none is; where the pool decides, nothing is said."""
    assert made(gpus=("1", "3"))["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert made()["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in made(gpus=None)


def test_gpus_count_as_where_they_were_chosen():
    """CUDA counts them along the bus, as nvidia-smi did for the leases; where the pool decides, nothing is said."""
    assert made(gpus=("1",))["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "CUDA_DEVICE_ORDER" not in made(gpus=None)


@pytest.mark.parametrize(
    "wrong",
    [(1, 1, ("a",), 4000), (-1, 1, ("a",), 4000), (0, 2, ("a",), 4000), (0, 1, ("a",), -1), (0, 1, ("a",), 65535)],
)
def test_a_rank_that_does_not_add_up_is_refused(wrong: tuple[int, int, tuple[str, ...], int]):
    """An index outside, too few hosts, or no room for the ports."""
    with pytest.raises(ValueError, match=r"instance|port"):
        Rank(*wrong)
