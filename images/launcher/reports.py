"""What the launcher tells its parent: one JSON line for each event, on a pipe of its own."""

from __future__ import annotations

import json
import os
import select
import time

WRITE_SECONDS = 5.0


class Reports:
    """The pipe of events. A parent that is gone or does not read never holds the launcher up."""

    def __init__(self, descriptor: int) -> None:
        """Write to this file descriptor; the script does not inherit it."""
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)

    def send(self, event: str, must_arrive: bool = True, **fields: object) -> None:
        """Write one event. One that need not arrive is dropped where the pipe is full."""
        line = json.dumps({"event": event, **fields}).encode() + b"\n"
        deadline = time.monotonic() + WRITE_SECONDS
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:  # a line within PIPE_BUF is written whole or not at all
                left = deadline - time.monotonic()
                if not must_arrive or left <= 0:
                    return
                select.select([], [self._descriptor], [], left)
            except OSError:  # nobody reads any more; standard input tells as much
                return
