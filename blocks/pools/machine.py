"""What this machine has to give to trainings."""

import os
import shutil
import subprocess
from functools import cache

import psutil

from blocks.catalogue.catalogue import Machine

PLATFORM_BYTES = 2**30  # what the platform's own parts, and the system, need beside the trainings


@cache
def this_machine() -> Machine:
    """Return this machine's processors, the memory it may give out (bytes) and its GPUs."""
    memory = max(psutil.virtual_memory().total - PLATFORM_BYTES, 0)
    return Machine(vcpus=len(os.sched_getaffinity(0)), memory_bytes=memory, gpus=_gpus())


def _gpus() -> int:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
