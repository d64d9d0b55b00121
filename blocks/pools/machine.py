"""What this machine has to give to trainings."""

import os
import re
import shutil
import subprocess
import time

import psutil

from blocks.catalogue.catalogue import Gpu, Machine
from blocks.pools import cgroup

PLATFORM_BYTES = 2**30  # what the platform's own parts, and the system, need beside the trainings
RETRY_SECONDS = 60.0
_LISTED = re.compile(r"^GPU (?P<index>\d+): (?P<name>.*?)(?: \(UUID: (?P<uuid>[^)]*)\))?$", re.MULTILINE)


class Driver:
    """The GPUs' driver. Its first answer holds; where it failed, as it may right after boot, it is asked later."""

    def __init__(self) -> None:
        self._listing: str | None = None
        self._next = 0.0

    def listing(self) -> str:
        """Return what `nvidia-smi -L` prints; "" without it, and while it fails."""
        if self._listing is None and time.monotonic() >= self._next:
            self._listing = _listing()
            self._next = time.monotonic() + RETRY_SECONDS  # one that hangs must not hold up every look
        return self._listing or ""


_DRIVER = Driver()


def this_machine(driver: Driver = _DRIVER) -> Machine:
    """Return the processors, the memory (bytes) and the GPUs that this process may give out."""
    limits = cgroup.limits()
    total = psutil.virtual_memory().total
    memory = total if limits.memory_bytes is None else min(total, limits.memory_bytes)
    allowed = float(len(os.sched_getaffinity(0)))
    return Machine(
        vcpus=allowed if limits.vcpus is None else min(allowed, limits.vcpus),
        memory_bytes=max(memory - PLATFORM_BYTES, 0),
        gpus=visible(driver.listing(), os.environ.get("CUDA_VISIBLE_DEVICES")),
    )


def visible(listing: str, wanted: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs of a listing that CUDA would show, in its order.

    Args:
        listing: what `nvidia-smi -L` prints.
        wanted: CUDA_VISIBLE_DEVICES: indices, or beginnings of UUIDs; None shows all. The first that is not there ends
            the list, as it does for CUDA.
    """
    listed = [(match["uuid"] or "", Gpu(match["index"], match["name"])) for match in _LISTED.finditer(listing)]
    if wanted is None:
        return tuple(gpu for _, gpu in listed)
    shown: list[Gpu] = []
    for word in (part.strip() for part in wanted.split(",")):
        found = [
            gpu for uuid, gpu in listed if word == gpu.index or (word.startswith("GPU-") and uuid.startswith(word))
        ]
        if len(found) != 1 or found[0] in shown:
            break
        shown += found
    return tuple(shown)


def _listing() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return None
    return listed.stdout if listed.returncode == 0 else None
