"""Only one at a time, of all processes of this machine: a lock that goes with its process, however that ends."""

import fcntl
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PAUSE_SECONDS = 0.2


@contextmanager
def alone(lock: Path, within: float = 0.0) -> Generator[bool]:
    """Say whether nobody else holds a lock; until that is let go, nobody else does.

    Args:
        lock: a file in a folder that is there.
        within: for how many seconds to wait for another.
    """
    deadline = time.monotonic() + within
    with lock.open("w") as handle:
        while not (mine := _locked(handle.fileno())) and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
        yield mine


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
