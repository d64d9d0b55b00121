"""What this machine has to give."""

import os
from pathlib import Path

import psutil
import pytest

from blocks.pools import machine


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def tool(folder: Path, text: str) -> None:
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def look() -> machine.Machine:
    return machine.this_machine.__wrapped__()  # a test's own look, past the cache


def test_what_the_platform_needs_is_not_given_out(path: Path):
    """All processors that this process may use; the memory without the platform's own part; no GPU without its tool."""
    found = look()
    assert found.vcpus == len(os.sched_getaffinity(0))
    assert found.memory_bytes == max(0, psutil.virtual_memory().total - machine.PLATFORM_BYTES)
    assert found.gpus == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("echo 'GPU 0: H100 (UUID: GPU-1)'; echo 'GPU 1: H100 (UUID: GPU-2)'", 2),
        ("echo 'GPU 0: A100'; echo '  MIG 1g.5gb Device 0'; echo '  MIG 1g.5gb Device 1'", 1),
        ("echo 'No devices found.'", 0),
        ("echo 'GPU 0: H100'; exit 9", 0),
    ],
)
def test_gpus_are_counted_as_the_driver_lists_them(path: Path, text: str, count: int):
    """Each GPU once, its slices not; a driver that fails has none."""
    tool(path, text)
    assert look().gpus == count


def test_a_driver_that_hangs_has_no_gpus(path: Path, monkeypatch: pytest.MonkeyPatch):
    """The look ends within its time."""
    tool(path, "while :; do :; done")
    run = machine.subprocess.run
    monkeypatch.setattr(machine.subprocess, "run", lambda *a, **k: run(*a, **k | {"timeout": 0.3}))
    assert look().gpus == 0
