"""Who opens or closes a TensorBoard holds its name meanwhile: what the host runs and what the records say stay one.

A lock of the records would do, but the host may take minutes, and every beat of a training would wait for it.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from blocks.hosts.errors import HostAway

HOLD_SECONDS = 60.0
PAUSE_SECONDS = 0.05


@contextmanager
def held(home: Path, name: str) -> Generator[None]:
    """Hold the name of a service, as nobody else on this machine does meanwhile; it goes with the process.

    Raises:
        HostAway: somebody else held it for a minute.
    """
    file = home / "tensorboard" / f"{name}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + HOLD_SECONDS
    while (handle := _locked(file)) is None:
        if time.monotonic() > deadline:
            raise HostAway(
                f"Somebody else has been opening or closing {name} for {HOLD_SECONDS:g} s; see with `fuser {file}` "
                "which process it is, and ask again once that is done."
            )
        time.sleep(PAUSE_SECONDS)
    with handle:
        try:
            yield
        finally:
            file.unlink(missing_ok=True)  # still locked: who waits for it sees that it is gone, and makes the next


def _locked(file: Path) -> IO[bytes] | None:
    """Return the file, open and locked; None where another holds it or has just removed it."""
    handle = file.open("wb")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle.fileno()), file.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    handle.close()
    return None
