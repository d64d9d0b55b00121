"""The processes of attempts, seen from outside: real ones, found by the mark in their environment."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from blocks.pools import processes
from blocks.pools.processes import MARK, end, running

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True); {SLEEP}"
SAVES = (
    "import signal, sys, time\n"
    "def save(*_):\n    open(sys.argv[1], 'w').write('saved'); sys.exit(0)\n"
    f"signal.signal(signal.SIGTERM, save)\n{SLEEP}"
)
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def attempt() -> str:
    return f"tr-{uuid.uuid4().hex[:12]}-a1"


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def go(source: str, attempt: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", source, *arguments]
        process = subprocess.Popen(command, env=os.environ | {MARK: attempt}, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield go
    for process in started:
        for child in psutil.Process(process.pid).children() if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait(10)


def pids(attempt: str) -> set[int]:
    return {process.pid for process in running().get(attempt, [])}


def wait_for(count: int, attempt: str) -> None:
    deadline = time.monotonic() + 10
    while len(pids(attempt)) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_processes_are_found_by_their_mark(start: Start, attempt: str):
    """Each attempt has its own; one without a live process is not there; an empty mark is none."""
    first, other = start(SLEEP, attempt), start(SLEEP, f"{attempt}0")
    start(SLEEP, "")
    assert (pids(attempt), pids(f"{attempt}0")) == ({first.pid}, {other.pid})
    assert "" not in running()
    first.kill()
    first.wait(10)
    assert attempt not in running()


def test_what_left_its_group_is_found(start: Start, attempt: str):
    """A child in a session of its own keeps the mark, and ends with the others."""
    start(PARENT, attempt)
    wait_for(2, attempt)
    assert end(attempt, 10) == 2
    assert pids(attempt) == set()


def test_the_end_of_one_attempt_is_nobody_elses(start: Start, attempt: str):
    """Only marked processes are signalled, and how many there were is answered."""
    gone, kept = start(SLEEP, attempt), start(SLEEP, f"{attempt}0")
    assert end(attempt, 10) == 1
    assert not psutil.pid_exists(gone.pid)
    assert kept.poll() is None


def test_a_script_may_save_before_it_ends(start: Start, attempt: str, tmp_path: Path):
    """SIGTERM comes first, and a grace; who obeys is not killed."""
    start(SAVES, attempt, str(tmp_path / "saved"))
    end(attempt, 10)
    assert (tmp_path / "saved").read_text() == "saved"


def test_who_does_not_obey_is_killed(start: Start, attempt: str):
    """After the grace comes SIGKILL."""
    process = start(DEAF, attempt)
    began = time.monotonic()
    assert end(attempt, 0.3) == 1
    assert not psutil.pid_exists(process.pid)
    assert time.monotonic() - began < processes.KILL_SECONDS


def test_an_attempt_without_processes_is_ended(attempt: str):
    """Nothing to do is fine, and at once."""
    began = time.monotonic()
    assert end(attempt) == 0
    assert time.monotonic() - began < 5
