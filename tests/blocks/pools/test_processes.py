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
from blocks.pools.processes import MARK, PLATFORM, end, has_part, running

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
def home(tmp_path: Path) -> Path:
    """The folder of this test's platform."""
    (tmp_path / "emf" / "environments").mkdir(parents=True)
    return tmp_path / "emf"


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def go(source: str, attempt: str, *arguments: str, cwd: Path | None = None, **marks: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", source, *arguments]
        environ = os.environ | {MARK: attempt, PLATFORM: str(home)} | marks
        process = subprocess.Popen(command, env=environ, cwd=cwd, stdout=subprocess.PIPE, text=True)
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


def test_what_left_its_group_is_found(start: Start, attempt: str, home: Path):
    """A child in a session of its own keeps the mark, and ends with the others."""
    start(PARENT, attempt)
    wait_for(2, attempt)
    assert end([attempt], home, 10) == set()
    assert pids(attempt) == set()


def test_the_end_of_one_attempt_is_nobody_elses(start: Start, attempt: str, home: Path):
    """Only marked processes are signalled."""
    gone, kept = start(SLEEP, attempt), start(SLEEP, f"{attempt}0")
    assert end([attempt], home, 10) == set()
    assert not psutil.pid_exists(gone.pid)
    assert kept.poll() is None


def test_a_script_may_save_before_it_ends(start: Start, attempt: str, home: Path, tmp_path: Path):
    """SIGTERM comes first, and a grace; who obeys is not killed."""
    start(SAVES, attempt, str(tmp_path / "saved"))
    end([attempt], home, 10)
    assert (tmp_path / "saved").read_text() == "saved"


def test_who_does_not_obey_is_killed(start: Start, attempt: str, home: Path):
    """After the grace, which many have together, comes SIGKILL."""
    several = [start(DEAF, f"{attempt}{number}") for number in range(3)]
    began = time.monotonic()
    assert end([f"{attempt}{number}" for number in range(3)], home, 1.0) == set()
    assert not any(psutil.pid_exists(process.pid) for process in several)
    assert time.monotonic() - began < processes.KILL_SECONDS


def test_who_lives_on_is_named(start: Start, attempt: str, home: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that even SIGKILL does not end, as one that waits for a disk, is told of."""
    start(SLEEP, attempt)
    monkeypatch.setattr(processes, "_signal", lambda _send: None)
    monkeypatch.setattr(processes, "KILL_SECONDS", 0.1)
    assert end([attempt, f"{attempt}0"], home, 0.1) == {attempt}


@pytest.mark.parametrize(
    ("own", "inside"),
    [
        ({}, ""),  # a run: EMF_HOME says whose
        ({PLATFORM: "", "HOME": "{work}/instance-0/home"}, ""),
        ({PLATFORM: "", "EM_MODEL_DIR": "{work}/instance-0/model"}, ""),
        ({PLATFORM: "", "VIRTUAL_ENV": "{work}/environment"}, ""),
        ({PLATFORM: ""}, "work/{attempt}"),
    ],
)
def test_a_platform_finds_its_own(start: Start, attempt: str, home: Path, own: dict[str, str], inside: str):
    """A run by its platform, a script and what installs for it by their folders; another platform finds none."""
    work, other = home / "work" / attempt, home.parent / "another"
    for folder in (work, other / "work" / attempt):
        folder.mkdir(parents=True)
    cwd = home / inside.format(attempt=attempt) if inside else None
    process = start(SLEEP, attempt, cwd=cwd, **{name: value.format(work=work) for name, value in own.items()})
    assert [found.pid for found in running(home).get(attempt, [])] == [process.pid]
    assert attempt not in running(other)
    assert end([attempt], other, 1.0) == set()
    assert process.poll() is None


@pytest.mark.parametrize("folder", ["work/{attempt}0", "workshop/{attempt}", "work/{attempt}/../{attempt}0", ""])
def test_a_folder_that_is_not_the_attempts_tells_nothing(start: Start, attempt: str, home: Path, folder: str):
    """Another attempt's, one that begins alike, or any outside: a platform that runs below it is another one."""
    where = home / folder.format(attempt=attempt)
    start(SLEEP, attempt, **{PLATFORM: "", "HOME": str(where), "EM_MODEL_DIR": str(where)})
    assert attempt not in running(home)
    assert attempt in running()


def test_a_platform_knows_its_own_parts(start: Start, attempt: str, home: Path):
    """And no other's."""
    assert not has_part(home, "mlflow")
    start(SLEEP, "", EMF_PART="mlflow")
    assert has_part(home, "mlflow")
    assert not has_part(home, "prefect")
    assert not has_part(home.parent, "mlflow")


def test_a_home_behind_a_link_is_the_same(start: Start, attempt: str, home: Path):
    """However the platform's folder is written."""
    (home.parent / "link").symlink_to(home)
    start(SLEEP, attempt)
    assert attempt in running(home.parent / "link")


def test_an_attempt_without_processes_is_ended(attempt: str, home: Path):
    """Nothing to do is fine, and at once."""
    began = time.monotonic()
    assert end([attempt], home) == set()
    assert time.monotonic() - began < 5
