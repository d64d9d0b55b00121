"""What a script finds when it starts: its arguments and its environment, made from the training and from nothing else.

The contract is AI EasyMaker's, so that its users' scripts run unchanged. Pure: folders are made, and the script is
started, elsewhere. The environment is built from empty; of the platform's own only certificates come along.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blocks.catalogue.catalogue import Framework
from flows.training.fields import environment_name, hyperparameters_json
from flows.training.spec import TrainingSpec

INHERITED = (
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)
"""All that a script's environment takes over from the platform's: where the machine's certificates lie."""

# What argparse takes for a number and not for an option.
_NEGATIVE_NUMBER = re.compile(r"-[0-9]+|-[0-9]*\.[0-9]+")


@dataclass(frozen=True)
class Folders:
    """An attempt's folders on one instance; all are there, empty ones too, before the script starts."""

    source: Path
    data_sets: Mapping[str, Path]
    model: Path
    checkpoint_input: Path
    checkpoint: Path
    tensorboard: Path
    home: Path
    tmp: Path


@dataclass(frozen=True)
class Ids:
    """Whose attempt this is, in the records and in MLflow."""

    training: str
    attempt: str
    experiment: str
    mlflow_run: str
    mlflow_experiment: str


@dataclass(frozen=True)
class Rank:
    """Which instance this is, of how many, and where all are.

    `port` is instance 0's, others add their index; it is chosen last of all, just before they start, and 0 until then.
    """

    index: int
    count: int
    hosts: tuple[str, ...]
    port: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count == len(self.hosts):
            raise ValueError(f"instance {self.index} of {self.count} with the hosts {self.hosts}: they do not agree")
        if not 0 <= self.port <= 65535 - self.count:
            raise ValueError(f"the port {self.port} leaves no room for {self.count} instances below 65536")


@dataclass(frozen=True)
class Site:
    """What is the same for every script of this platform and image."""

    framework: Framework
    image_bin: Path
    region: str
    app_key: str
    mlflow_url: str


def arguments(hyperparameters: Mapping[str, str]) -> list[str]:
    """Return `--key value` for each hyperparameter, in order.

    A value that argparse would take for an option (`-1e-5`, `-x`) goes as `--key=value`, which it takes for a value.
    """
    argv: list[str] = []
    for key, value in hyperparameters.items():
        looks_like_an_option = value.startswith("-") and not _NEGATIVE_NUMBER.fullmatch(value)
        argv += [f"--{key}={value}"] if looks_like_an_option else [f"--{key}", value]
    return argv


def environment(
    spec: TrainingSpec,
    folders: Folders,
    ids: Ids,
    rank: Rank,
    gpus: Sequence[str] | None,
    site: Site,
    platform: Mapping[str, str],
) -> dict[str, str]:
    """Return the whole environment of a script.

    Args:
        spec: the training.
        folders: this instance's, absolute.
        ids: of the records and of MLflow.
        rank: this instance among its fellows.
        gpus: the ids of the GPUs held; empty for none; None where the pool itself shows a container its GPUs.
        site: what is the same for every script.
        platform: the platform's own environment, of which only `INHERITED` is read.
    """
    return {
        **{name: platform[name] for name in INHERITED if platform.get(name)},
        **_process(folders, gpus, site),
        **_mlflow(ids, rank, site),
        **_fellows(spec, rank, site),
        **_easymaker(spec, folders, ids, site),
        "EMF_ATTEMPT": ids.attempt,  # the mark by which the script's whole tree is found
    }


def _process(folders: Folders, gpus: Sequence[str] | None, site: Site) -> dict[str, str]:
    # Ids are nvidia-smi's, which counts along the bus; CUDA counts the fastest first unless it is told.
    visible = {} if gpus is None else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    return {
        "PATH": f"{site.image_bin}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folders.home),
        "TMPDIR": str(folders.tmp),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        # A vCPU is a share: threads that spin while they wait take it from the ones they wait for.
        "OMP_WAIT_POLICY": "PASSIVE",
        **visible,
    }


def _mlflow(ids: Ids, rank: Rank, site: Site) -> dict[str, str]:
    # Several instances write into one run: each gives its system metrics a name of its own.
    node = {"MLFLOW_SYSTEM_METRICS_NODE_ID": str(rank.index)} if rank.count > 1 else {}
    return {
        "MLFLOW_TRACKING_URI": site.mlflow_url,
        "MLFLOW_RUN_ID": ids.mlflow_run,
        "MLFLOW_EXPERIMENT_ID": ids.mlflow_experiment,
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        **node,
    }


def _fellows(spec: TrainingSpec, rank: Rank, site: Site) -> dict[str, str]:
    """Return how instances find each other; torchrun sets all of the first again for each of its processes."""
    found = {
        "RANK": str(rank.index),
        "WORLD_SIZE": str(rank.count),
        "MASTER_ADDR": rank.hosts[0],
        "MASTER_PORT": str(rank.port),
    }
    if rank.count == 1:  # LOCAL_RANK alone makes libraries believe that somebody started more processes
        return found
    found |= {"NODE_RANK": str(rank.index)}
    if not spec.use_torchrun:
        found |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    if site.framework == Framework.TENSORFLOW:
        workers = [f"{host}:{rank.port + index}" for index, host in enumerate(rank.hosts)]
        task = {"type": "worker", "index": rank.index}
        found["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    return found


def _easymaker(spec: TrainingSpec, folders: Folders, ids: Ids, site: Site) -> dict[str, str]:
    data_sets = {name: str(folder) for name, folder in folders.data_sets.items()}
    return {
        **{f"EM_HP_{environment_name(key)}": value for key, value in spec.hyperparameters.items()},
        "EM_HPS": hyperparameters_json(spec.hyperparameters),
        **{f"EM_DATASET_{environment_name(name)}": folder for name, folder in data_sets.items()},
        "EM_DATASETS": json.dumps(data_sets, ensure_ascii=False),
        "EM_SOURCE_DIR": str(folders.source),
        "EM_ENTRY_POINT": spec.entry_point,
        "EM_MODEL_DIR": str(folders.model),
        "EM_CHECKPOINT_INPUT_DIR": str(folders.checkpoint_input),
        "EM_CHECKPOINT_DIR": str(folders.checkpoint),
        "EM_TENSORBOARD_LOG_DIR": str(folders.tensorboard),
        "EM_REGION": site.region,
        "EM_APPKEY": site.app_key,
        "EM_EXPERIMENT_ID": ids.experiment,
        "EM_TRAINING_ID": ids.training,
    }
