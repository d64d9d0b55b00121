"""Disks of a test's own, on which there is no room."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def full_disk(folder: Path) -> Iterator[Callable[[], object]]:
    """Let a folder be a disk on which nothing can be made; what is yielded makes room there."""
    folder.mkdir(parents=True, exist_ok=True)
    if _mount("nr_inodes=1,size=1m", folder):
        pytest.skip("no small disk can be mounted here")
    try:
        yield lambda: _mount("remount,nr_inodes=1000", folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(options: str, folder: Path) -> int:
    argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(argv, capture_output=True, check=False).returncode
