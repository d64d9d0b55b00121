"""What the launcher is asked to run."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge

from blocks.settings import Settings
from flows.training.instances.contract import Rank
from flows.training.instances.door import BEAT_SECONDS
from flows.training.instances.instance import Instance
from flows.training.instances.job import job_of
from images.launcher.job import command, environment, parse

PYTHON = Path(sys.executable)
Made = Callable[..., Instance]


def asked(one: Instance) -> dict[str, Any]:
    """Return the job, as it travels."""
    return json.loads(json.dumps(job_of(one, PYTHON)))


def launched(one: Instance) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment that the launcher makes of the job."""
    job = parse(json.dumps(job_of(one, PYTHON)).encode())
    return command(job, "python"), environment(job)


@pytest.mark.parametrize(
    ("vcpus", "processes", "threads"), [(2, 1, "2"), (0.5, 1, "1"), (3.9, 1, "3"), (8, 4, "2"), (2, 4, "1")]
)
def test_threads_are_the_share(instance: Made, vcpus: float, processes: int, threads: str):
    """The vCPUs, divided among torchrun's processes, at least one; every numeric library hears the same."""
    one = instance(use_torchrun=processes > 1, processes_per_node=processes)
    one.assignment.vcpus = vcpus
    _, env = launched(one)
    assert {value for name, value in env.items() if name.endswith("_THREADS")} == {threads}
    assert env["OMP_NUM_THREADS"] == threads


def test_torchrun_is_told_where_all_are(instance: Made):
    """Several instances meet at the first one's port."""
    one = instance(use_torchrun=True, processes_per_node=2, instance_count=2)
    one.rank = Rank(1, 2, ("a", "b"), 4000)
    words, env = launched(one)
    told = {"--nnodes=2", "--node_rank=1", "--nproc_per_node=2", "--master_addr=a", "--master_port=4000"}
    assert told <= set(words)
    assert env["MASTER_PORT"] == "4000"


def test_one_instance_alone_lets_torchrun_choose(instance: Made):
    """Nobody else has to find it."""
    words, _ = launched(instance(use_torchrun=True, processes_per_node=2))
    assert "--standalone" in words


def test_gpus_are_divided_among_instances(instance: Made):
    """Each has its own, in order."""
    one = instance(instance_count=2)
    one.assignment.gpus = ["0", "1", "4", "5"]
    found = []
    for index in range(2):
        one.rank = Rank(index, 2, ("a", "b"), 4000)
        found.append(asked(one)["env"]["CUDA_VISIBLE_DEVICES"])
    assert found == ["0,1", "4,5"]


def test_a_launcher_tolerates_less_sleep_than_any_lease(instance: Made):
    """Who has slept for longer asks; the next beat, too, comes before the shortest lease is over."""
    (shortest,) = (limit.ge for limit in Settings.model_fields["lease_seconds"].metadata if isinstance(limit, Ge))
    job = parse(json.dumps(job_of(instance(), PYTHON)).encode())
    assert 0 < job.sleep_seconds < shortest - BEAT_SECONDS
