"""Copying files between two folders of this machine, several at a time."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from blocks.storage.errors import Changed
from blocks.storage.store import THREADS, Meter
from blocks.storage.walk import PARTIAL

_CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True)
class Job:
    """One file to copy; `size` in bytes as it was listed."""

    source: Path
    target: Path
    size: int


def copy_all(jobs: list[Job], meter: Meter) -> int:
    """Copy every file to a temporary name beside its target, then rename it; return the bytes copied.

    Raises:
        Changed: a file went away or shrank.
        OSError: anything else that the disks say.
    """
    with ThreadPoolExecutor(min(THREADS, max(1, len(jobs))), thread_name_prefix="copy") as pool:
        futures = [pool.submit(_copy, job, meter) for job in jobs]
        try:
            return sum(future.result() for future in futures)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _copy(job: Job, meter: Meter) -> int:
    partial = job.target.with_name(f".{uuid.uuid4().hex}{PARTIAL}")
    done = 0
    try:
        try:
            source = job.source.open("rb")
        except FileNotFoundError as error:
            raise Changed(f"{job.source} went away while it was being copied.", "Try again.") from error
        with source, partial.open("xb") as target:
            # no further than the listed size: a log that grows meanwhile is taken as it was
            while chunk := source.read(min(_CHUNK, job.size - done)):
                target.write(chunk)
                done += len(chunk)
                meter.add(len(chunk))
            target.flush()
            os.fsync(target.fileno())
        if done != job.size:
            raise Changed(f"{job.source} shrank from {job.size} to {done} bytes while it was copied.", "Try again.")
        partial.replace(job.target)
    finally:
        partial.unlink(missing_ok=True)
    return done
