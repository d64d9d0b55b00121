"""Files that an attempt's processes have open for writing."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blocks.pools.open_files import is_being_written, is_for_writing
from blocks.pools.processes import MARK

SCRIPT = "import sys, time; file = open(sys.argv[1], sys.argv[2]); print('open', flush=True); time.sleep(60)"


@pytest.fixture
def holding() -> Iterator[Callable[[Path, str], subprocess.Popen[str]]]:
    """Start a process of the attempt `tr-1-a1` that holds a file open."""
    started: list[subprocess.Popen[str]] = []

    def start(file: Path, mode: str) -> subprocess.Popen[str]:
        environ = os.environ | {MARK: "tr-1-a1"}
        argv = [sys.executable, "-c", SCRIPT, str(file), mode]
        process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "open\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def test_a_file_that_is_open_for_writing_is_seen(tmp_path: Path, holding: Callable[..., subprocess.Popen[str]]):
    """In the folder that was asked for, of the attempt that was asked for, until it is closed."""
    (tmp_path / "in").mkdir()
    process = holding(tmp_path / "in" / "model.pt", "wb")
    assert is_being_written("tr-1-a1", [tmp_path / "in"])
    assert not is_being_written("tr-1-a1", [tmp_path / "i"])
    assert not is_being_written("tr-2-a1", [tmp_path / "in"])
    process.kill()
    process.wait(10)
    assert not is_being_written("tr-1-a1", [tmp_path / "in"])


def test_reading_is_no_writing(tmp_path: Path, holding: Callable[..., subprocess.Popen[str]]):
    """A script that reads what it goes on from holds nothing up; a folder behind a link hides nothing."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "link").symlink_to("real")
    holding(tmp_path / "real" / "a", "rb")
    assert not is_being_written("tr-1-a1", [tmp_path / "link"])
    holding(tmp_path / "link" / "a", "ab")
    assert is_being_written("tr-1-a1", [tmp_path / "link"])


@pytest.mark.parametrize(
    ("flags", "is_written"),
    [(os.O_RDONLY, False), (os.O_WRONLY, True), (os.O_RDWR, True), (os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, True)],
)
def test_the_kernels_flags_are_octal(flags: int, is_written: bool):
    """As proc(5) writes them; what has none is not being written."""
    assert is_for_writing(f"pos:\t0\nflags:\t0{flags:o}\nmnt_id:\t1\n") == is_written
    assert not is_for_writing("")
