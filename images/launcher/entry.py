"""The launcher's first steps: its own session, its pipe of reports, the job's line."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time

from . import job as jobs
from .reports import Reports
from .supervisor import Supervisor

JOB_SECONDS = 30.0
REFUSED = 2


def read_line(descriptor: int, seconds: float = JOB_SECONDS) -> bytes:
    """Return the first line that arrives, without its end.

    Raises:
        BadJob: the input ends, or the time is over, before the line does.
    """
    line = bytearray()
    deadline = time.monotonic() + seconds
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise jobs.BadJob(f"No job came on standard input within {seconds:g} s.")
        piece = os.read(descriptor, 65536)
        if not piece:
            raise jobs.BadJob("Standard input ended before the job's line did.")
        line += piece
        if b"\n" in piece:
            return bytes(line.partition(b"\n")[0])


def main() -> int:
    """Run the job that standard input describes."""
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    try:
        reports = Reports(int(os.environ.get("EMF_REPORT_FD") or 3))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"EMF_REPORT_FD must be the number of an open file descriptor (it is 3 by default): {error}\n")
        return REFUSED
    try:
        supervisor = Supervisor(jobs.parse(read_line(0)), reports)
        supervisor.start()
    except (jobs.BadJob, OSError) as error:
        reports.send("refused", reason=str(error))
        return REFUSED
    supervisor.run()
    return 0
