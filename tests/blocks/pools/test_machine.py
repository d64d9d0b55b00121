"""What this machine has to give."""

import os
from pathlib import Path

import psutil
import pytest

from blocks.catalogue.catalogue import Gpu
from blocks.pools import machine
from blocks.pools.cgroup import Limits
from blocks.pools.machine import visible


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
    return machine.this_machine(machine.Driver())  # a test's own look, past the first answer


def test_what_the_platform_needs_is_not_given_out(path: Path, monkeypatch: pytest.MonkeyPatch):
    """All processors that this process may use; the memory without the platform's own part; no GPU without its tool."""
    monkeypatch.setattr(machine.cgroup, "limits", Limits)
    found = look()
    assert found.vcpus == len(os.sched_getaffinity(0))
    assert found.memory_bytes == max(0, psutil.virtual_memory().total - machine.PLATFORM_BYTES)
    assert found.gpus == ()


def test_a_control_group_makes_the_machine_smaller(path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a container or a unit may not use is not given out; a limit above what there is changes nothing."""
    monkeypatch.setattr(machine.cgroup, "limits", lambda: Limits(memory_bytes=3 * 2**29, vcpus=0.5))
    assert (look().memory_bytes, look().vcpus) == (2**29, 0.5)
    monkeypatch.setattr(machine.cgroup, "limits", lambda: Limits(memory_bytes=2**60, vcpus=4096.0))
    assert look().vcpus == len(os.sched_getaffinity(0))
    assert look().memory_bytes < 2**60 - machine.PLATFORM_BYTES


def test_gpus_are_those_that_the_driver_lists(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Those that CUDA_VISIBLE_DEVICES leaves; a driver that fails has none."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool(path, f"echo '{LISTING}'")
    assert [gpu.index for gpu in look().gpus] == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert look().gpus == (Gpu("2", "NVIDIA A100-SXM4-40GB"),)
    tool(path, f"echo '{LISTING}'; exit 9")
    assert look().gpus == ()


LISTING = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11aa)
  MIG 1g.10gb Device 0: (UUID: MIG-77)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-11bb)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-22cc)"""


@pytest.mark.parametrize(
    ("wanted", "indices"),
    [
        (None, "012"),
        ("0,1,2", "012"),
        ("2, 0", "20"),
        ("1", "1"),
        ("GPU-22cc,GPU-11a", "20"),
        ("GPU-11", ""),  # two begin so
        ("0,7,1", "0"),  # CUDA reads no further than what is not there
        ("0,0", "0"),
        ("", ""),
        ("-1", ""),
        ("NoDevFiles", ""),
        ("MIG-77", ""),
    ],
)
def test_visible_gpus_are_cudas(wanted: str | None, indices: str):
    """Indices and beginnings of UUIDs choose whole GPUs, in the order in which they stand."""
    assert "".join(gpu.index for gpu in visible(LISTING, wanted)) == indices


def test_a_listing_without_uuids():
    """Names are those that the driver prints; text that lists nothing has no GPUs."""
    assert visible("GPU 0: Tesla T4 (rev 2)\n", None) == (Gpu("0", "Tesla T4 (rev 2)"),)
    assert visible("No devices found.", None) == ()


def test_a_driver_that_hangs_has_no_gpus(path: Path, monkeypatch: pytest.MonkeyPatch):
    """The look ends within its time."""
    tool(path, "while :; do :; done")
    run = machine.subprocess.run
    monkeypatch.setattr(machine.subprocess, "run", lambda *a, **k: run(*a, **k | {"timeout": 0.3}))
    assert look().gpus == ()


def test_a_driver_that_failed_is_asked_again(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not with every look, but after a while; what it answered once holds."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    now = [1000.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[0])
    driver = machine.Driver()
    monkeypatch.setattr(machine, "_listing", lambda: None)
    assert machine.this_machine(driver).gpus == ()
    monkeypatch.setattr(machine, "_listing", lambda: LISTING)
    assert machine.this_machine(driver).gpus == ()
    now[0] += machine.RETRY_SECONDS
    assert len(machine.this_machine(driver).gpus) == 3
    monkeypatch.setattr(machine, "_listing", lambda: None)
    now[0] += machine.RETRY_SECONDS
    assert len(machine.this_machine(driver).gpus) == 3
