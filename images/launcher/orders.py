"""What the run says on standard input: the job's line first, and later what becomes of a script that is held.

The pipe stays open for as long as the run lives: its end is the run's.
"""

from __future__ import annotations

import os
import select
import time

from .job import BadJob

JOB_SECONDS = 30.0
GIVEN_UP = "given up"  # the attempt is another's by now: the script dies at once
GO_ON = "go on"  # with the number of the question that it answers


class Orders:
    """The lines on standard input, each handed out once; `open` until the end of the input was read."""

    def __init__(self, descriptor: int = 0) -> None:
        """Read from this file descriptor; the script does not inherit it."""
        self.descriptor = descriptor
        self.open = True
        self._unread = b""

    def job(self, seconds: float = JOB_SECONDS) -> bytes:
        """Return the first line, without its end.

        Raises:
            BadJob: the input ends, or the time is over, before the line does.
        """
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self.descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BadJob(f"No job came on standard input within {seconds:g} s.")
            self.read()
            if not self.open:
                raise BadJob("Standard input ended before the job's line did.")
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def read(self) -> None:
        """Read what has come; waits where nothing has."""
        piece = os.read(self.descriptor, 65536)
        self._unread += piece
        self.open = bool(piece)

    def take(self) -> list[str]:
        """Return the whole lines that have been read since the last time."""
        *lines, self._unread = self._unread.split(b"\n")
        return [line.decode(errors="replace") for line in lines]
