"""A training outlives the platform: `emf down`, or the end of every process at once, and then `emf up`."""

from collections.abc import Callable
from typing import Any

import psutil
import pytest

from blocks.platform import Platform
from blocks.storage.location import parse
from deployments.one_machine import marks
from flows.training import reading
from tests.platform.conftest import SCRIPTS
from tests.platform.deadlines import within
from tests.platform.terminal import emf

SECONDS = 240
Training = dict[str, Any]


@pytest.fixture(scope="module")
def counting(own: Platform) -> Callable[[], Training]:
    """A training that counts and keeps what it has counted; what is known of it."""
    where = own.settings
    for container in ("code", "out"):
        own.storage.ensure_container(parse(where.obs(container)))
    own.storage.upload(SCRIPTS / "counts.py", parse(where.obs("code", "scripts/counts.py")))
    places = {"algorithm": "code/scripts", "output": "out/a", "checkpoint": "out/kept"}
    words = [word for name, place in places.items() for word in (f"--{name}-path", place)]
    words += ["--entry-point", "counts.py", "--image", "pytorch-2.13-cpu-py311", "--instance-type", "cpu.small"]
    emf("training", "create", "--name", "counting", "--experiment", "e", *words)
    return lambda: reading.read(own, "counting")


def running(counting: Callable[[], Training], attempt: int) -> Training:
    """Wait until an attempt runs and has kept a checkpoint."""

    def look() -> Training | None:
        found = counting()
        there = len(found["attempts"]) == attempt and found["attempts"][-1]["checkpoints"]
        return found if there and found["state"] == "RUNNING" else None

    return within(SECONDS, look, f"attempt {attempt} at work")


def first_steps(own: Platform, training: Training) -> list[int]:
    lines = own.logs.follow(training["id"], lambda: True)
    return [int(line.body.split()[-1]) for line in lines if line.body.startswith("first step")]


def test_down_pauses_it_and_up_goes_on_from_what_it_saved(own: Platform, counting: Callable[[], Training]):
    """`emf down` names it and lets it save; that counts for no failure."""
    running(counting, 1)
    told = emf("down")
    assert "Pausing training counting" in told
    paused = counting()
    assert (paused["state"], paused["attempts"][0]["reason"]) == ("CREATE_IN_PROGRESS", "INTERRUPTED")
    emf("up")
    again = running(counting, 2)
    assert [1, *first_steps(own, again)[1:]] == first_steps(own, again)
    assert first_steps(own, again)[1] > 1


def test_after_the_end_of_every_process_it_goes_on_too(own: Platform, counting: Callable[[], Training]):
    """SIGKILL of all of it: `emf up` finds the attempt lost, and the next one goes on from the last checkpoint."""
    running(counting, 2)
    killed = marks.find(own.settings.home)
    assert len(killed) > 8
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=20)
    emf("up")
    again = running(counting, 3)
    assert again["attempts"][1]["reason"] in ("MACHINE_LOST", "INTERRUPTED")
    steps = first_steps(own, again)
    assert 1 == steps[0] < steps[1] < steps[2]
    emf("training", "stop", "--wait", "counting")
    assert counting()["state"] == "STOPPED"
