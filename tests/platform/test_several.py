"""Several instances train together: with torchrun, and with TensorFlow's workers."""

import time
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

import psutil
import pytest

from blocks.platform import Platform
from blocks.storage.location import parse
from flows.training import reading
from tests.platform.deadlines import within
from tests.platform.killing import find

SECONDS = 500
STEPS = 160
Training = dict[str, Any]
KINDS: dict[str, dict[str, Any]] = {
    "torchrun": {
        "entry_point": "together.py",
        "use_torchrun": True,
        "instance_type": "cpu.small",
    },
    "tensorflow": {
        "entry_point": "together_tf.py",
        "image": "tensorflow-2.21-cpu-py311",
        "instance_type": "cpu.medium",
    },
}


def kill_instance(training_id: str, index: int) -> int:
    """SIGKILL every process of one instance's script; returns how many there were."""
    killed = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environ = process.environ()
            if environ.get("EM_TRAINING_ID") == training_id and environ.get("EMF_INSTANCE") == str(index):
                process.kill()
                killed += 1
    return killed


@pytest.fixture(scope="module")
def trained(api: ModuleType, asked: Callable[..., dict[str, Any]]) -> Callable[..., Training]:
    """Train two instances of a kind to their end; with `disturb` do that once the first checkpoint is kept."""

    def train(kind: str, name: str, disturb: Callable[[str], None] | None = None, **changes: Any) -> Training:
        hyperparameters = {"steps": str(STEPS), "pause": "0.1"}
        request = asked(name, **(KINDS[kind] | {"instance_count": 2, "hyperparameters": hyperparameters} | changes))
        training_id = api.create_training(**request)["id"]
        if disturb:
            within(SECONDS, lambda: api.show_training(training_id)["checkpoints"], f"a checkpoint of {name}")
            disturb(training_id)
        found = api.wait_for(training_id, seconds=SECONDS)
        assert found["state"] == "COMPLETE", (found["message"], found["evidence"])
        return found

    return train


def weights(connections: Platform, found: Training) -> bytes:
    return connections.storage.read(parse(f"{found['model']}/weights.bin", 2048))


@pytest.fixture(scope="module")
def undisturbed(trained: Callable[..., Training]) -> Callable[[str], Training]:
    """A training of two instances of a kind that nobody disturbs, once for the file."""
    made: dict[str, Training] = {}

    def found(kind: str) -> Training:
        if kind not in made:
            made[kind] = trained(kind, f"two with {kind}")
        return made[kind]

    return found


def test_two_instances_learn_what_two_processes_do(
    trained: Callable[..., Training], undisturbed: Callable[[str], Training], connections: Platform
):
    """The weights are those of DistributedDataParallel's two processes on one instance, bit for bit."""
    one = trained("torchrun", "two processes", instance_count=1, processes_per_node=2, instance_type="cpu.medium")
    assert weights(connections, undisturbed("torchrun")) == weights(connections, one)


@pytest.mark.parametrize("kind", KINDS)
def test_one_instance_that_is_killed_costs_no_more_than_a_while(
    kind: str, trained: Callable[..., Training], undisturbed: Callable[[str], Training], connections: Platform
):
    """All end, the verdict is that of the one that was killed, both go on together, and the weights are the same."""

    def kill(training_id: str) -> None:
        time.sleep(1)
        assert kill_instance(training_id, 1)

    found = trained(kind, f"killed with {kind}", kill)
    assert [attempt["reason"] for attempt in found["attempts"]] == ["INTERRUPTED", ""]
    assert found["attempts"][1]["resumed_from"]
    assert weights(connections, found) == weights(connections, undisturbed(kind))


def test_a_run_that_is_killed_leaves_no_worker_of_torchrun(
    trained: Callable[..., Training], undisturbed: Callable[[str], Training], connections: Platform
):
    """The workers leave the process group of their run; all of them are gone before the next attempt begins."""
    left: list[psutil.Process] = []

    def kill_run(training_id: str) -> None:
        scripts = find("script", connections, training_id)
        assert len(scripts) >= 4  # two agents of torchrun's, two workers
        for process in find("run", connections, training_id):
            process.kill()
        left.extend(psutil.wait_procs(scripts, timeout=40)[1])

    found = trained("torchrun", "run killed", kill_run)
    assert left == []
    assert [attempt["reason"] for attempt in found["attempts"]] == ["MACHINE_LOST", ""]
    assert weights(connections, found) == weights(connections, undisturbed("torchrun"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_instance_has_its_own_log_and_its_part(
    kind: str, undisturbed: Callable[[str], Training], connections: Platform
):
    """Every line says which instance wrote it; a checkpoint is of both, with the one's files in its part."""
    found = undisturbed(kind)
    lines = list(connections.logs.follow(found["id"], lambda: True))
    said = {line.instance: line.body for line in lines if line.source == "script" and "first step" in line.body}
    assert said.keys() == {0, 1}
    place = parse(found["checkpoints"][-1], 2048)
    assert [entry.key.partition("/")[0] for entry in connections.storage.entries(place)] == ["instance-0"]
    assert reading.read(connections, found["id"])["evidence"]["exit_code"] == 0
