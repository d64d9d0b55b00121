"""Which processes are the platform's, on real ones."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deployments.one_machine import marks

HOME = Path("/srv/emf")
SLEEP = "import time; print(flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


@contextmanager
def process(environ: Mapping[str, str], code: str = SLEEP) -> Iterator[psutil.Process]:
    """A Python that sleeps with exactly this environment."""
    with subprocess.Popen([sys.executable, "-c", code], env=dict(environ), stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        try:
            yield psutil.Process(child.pid)
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("environ", "ours"),
    [
        ({"EMF_HOME": "/srv/emf", "EMF_PART": "prefect"}, True),
        ({"EMF_HOME": "/srv/emf/", "EMF_ATTEMPT": "7"}, True),
        ({"EMF_ATTEMPT": "7", "EM_SOURCE_DIR": "/srv/emf/work/7/source"}, True),
        ({"EMF_HOME": "/srv/emf"}, False),  # a person's shell
        ({"EMF_HOME": "/srv/emf2", "EMF_PART": "prefect"}, False),
        ({"EMF_HOME": "/srv/emf2", "EMF_ATTEMPT": "7", "EM_SOURCE_DIR": "/srv/emf/work/7"}, False),
        ({"EMF_ATTEMPT": "7", "EM_SOURCE_DIR": "/srv/emf2/work/7/source"}, False),
        ({"EMF_PART": "prefect"}, False),
        ({"EM_SOURCE_DIR": "/srv/emf/work/7/source"}, False),
        ({}, False),
    ],
)
def test_belongs(environ: dict[str, str], ours: bool) -> None:
    """A process is the platform's by its part or attempt, and by this folder alone."""
    assert marks.belongs(environ, HOME) is ours


def test_only_processes_of_this_folder_are_found(tmp_path: Path) -> None:
    """Another platform on the same machine is not touched, nor is a person's shell."""
    mine = {"EMF_HOME": str(tmp_path), "EMF_PART": "worker-process"}
    other = {"EMF_HOME": str(tmp_path / "other"), "EMF_PART": "worker-process"}
    shell = {"EMF_HOME": str(tmp_path)}
    with process(mine) as found, process(other), process(shell):
        assert marks.find(tmp_path) == [found]
        assert marks.describe(found) == f"worker-process (pid {found.pid})"


def test_a_script_that_outlived_its_attempt_is_found_and_told(tmp_path: Path) -> None:
    """Users' scripts are found though they do not know EMF_HOME."""
    with process({"EMF_ATTEMPT": "t1-2", "EM_MODEL_DIR": f"{tmp_path}/work/t1-2/model"}) as script:
        assert [marks.describe(found) for found in marks.find(tmp_path)] == [
            f"the script of attempt t1-2 (pid {script.pid})"
        ]


def test_who_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """After the grace nothing is left, whatever the processes make of SIGTERM."""
    mark = {"EMF_HOME": str(tmp_path), "EMF_PART": "mlflow"}
    with process(mark), process(mark, STUBBORN):
        assert marks.end(tmp_path, grace=0.5) == []
        assert marks.find(tmp_path) == []


HEIR = """
import os, signal, subprocess, sys, time

def leave(*_):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
    os._exit(0)

signal.signal(signal.SIGTERM, leave)
print(flush=True)
time.sleep(60)
"""


def test_what_is_begun_while_others_end_is_ended_too(tmp_path: Path) -> None:
    """One that answers SIGTERM with another process leaves nothing behind."""
    with process({"EMF_HOME": str(tmp_path), "EMF_PART": "worker-process"}, HEIR):
        assert marks.end(tmp_path, grace=5) == []


def test_those_who_ask_are_not_found(tmp_path: Path) -> None:
    """`emf down` typed in a terminal of the platform's own does not end itself."""
    asks = (
        "import sys, pathlib; from deployments.one_machine import marks; print(marks.find(pathlib.Path(sys.argv[1])))"
    )
    environ = {"EMF_HOME": str(tmp_path), "EMF_PART": "notebook"}
    argv = [sys.executable, "-c", asks, str(tmp_path)]
    answer = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_parts_are_those_that_have_a_process(tmp_path: Path) -> None:
    """By their names, of this folder alone; a script is none."""
    script = {"EMF_ATTEMPT": "t1-2", "EM_MODEL_DIR": f"{tmp_path}/work/t1-2/model"}
    other = {"EMF_HOME": str(tmp_path / "other"), "EMF_PART": "mlflow"}
    with process({"EMF_HOME": str(tmp_path), "EMF_PART": "supervisor"}), process(other), process(script):
        assert marks.parts(tmp_path) == {"supervisor"}
