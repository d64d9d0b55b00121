"""A training outlives the platform: `emf down`, or the end of every process at once, and then `emf up`."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from blocks import settings as platform_settings
from blocks.platform import Platform
from blocks.settings import Settings
from blocks.storage.location import parse
from deployments.one_machine import marks
from flows.training import reading
from tests.conftest import platform_folder
from tests.platform.conftest import SCRIPTS
from tests.platform.deadlines import within

SECONDS = 240
Training = dict[str, Any]


def emf(*words: str) -> str:
    argv = [Path(sys.executable).with_name("emf"), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def here(platform: Settings) -> Iterator[Platform]:
    """A platform of this file's own, which borrows the environments of the session's."""
    with platform_folder():
        own = platform_settings.load()
        (own.home / "environments").symlink_to(platform.home / "environments")
        emf("up")
        yield Platform(own)


@pytest.fixture(scope="module")
def counting(here: Platform) -> Callable[[], Training]:
    """A training that counts and keeps what it has counted; what is known of it."""
    where = here.settings
    for container in ("code", "out"):
        here.storage.ensure_container(parse(where.obs(container)))
    here.storage.upload(SCRIPTS / "counts.py", parse(where.obs("code", "scripts/counts.py")))
    places = {"algorithm": "code/scripts", "output": "out/a", "checkpoint": "out/kept"}
    words = [word for name, place in places.items() for word in (f"--{name}-path", place)]
    words += ["--entry-point", "counts.py", "--image", "pytorch-2.13-cpu-py311", "--instance-type", "cpu.small"]
    emf("training", "create", "--name", "counting", "--experiment", "e", *words)
    return lambda: reading.read(here, "counting")


def running(counting: Callable[[], Training], attempt: int) -> Training:
    """Wait until an attempt runs and has kept a checkpoint."""

    def look() -> Training | None:
        found = counting()
        there = len(found["attempts"]) == attempt and found["attempts"][-1]["checkpoints"]
        return found if there and found["state"] == "RUNNING" else None

    return within(SECONDS, look, f"attempt {attempt} at work")


def first_steps(here: Platform, training: Training) -> list[int]:
    lines = here.logs.follow(training["id"], lambda: True)
    return [int(line.body.split()[-1]) for line in lines if line.body.startswith("first step")]


def test_down_pauses_it_and_up_goes_on_from_what_it_saved(here: Platform, counting: Callable[[], Training]):
    """`emf down` names it and lets it save; that counts for no failure."""
    running(counting, 1)
    told = emf("down")
    assert "Pausing training counting" in told
    paused = counting()
    assert (paused["state"], paused["attempts"][0]["reason"]) == ("CREATE_IN_PROGRESS", "INTERRUPTED")
    emf("up")
    again = running(counting, 2)
    assert [1, *first_steps(here, again)[1:]] == first_steps(here, again)
    assert first_steps(here, again)[1] > 1


def test_after_the_end_of_every_process_it_goes_on_too(here: Platform, counting: Callable[[], Training]):
    """SIGKILL of all of it: `emf up` finds the attempt lost, and the next one goes on from the last checkpoint."""
    running(counting, 2)
    killed = marks.find(here.settings.home)
    assert len(killed) > 8
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=20)
    emf("up")
    again = running(counting, 3)
    assert again["attempts"][1]["reason"] in ("MACHINE_LOST", "INTERRUPTED")
    steps = first_steps(here, again)
    assert 1 == steps[0] < steps[1] < steps[2]
    emf("training", "stop", "--wait", "counting")
    assert counting()["state"] == "STOPPED"
