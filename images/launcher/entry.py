"""The launcher's first steps: its own session, its pipe of reports, the job's line."""

from __future__ import annotations

import contextlib
import os
import sys

from . import job as jobs
from .orders import Orders
from .reports import Reports
from .supervisor import Supervisor

REFUSED = 2


def main() -> int:
    """Run the job that standard input describes."""
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    try:
        reports = Reports(int(os.environ.get("EMF_REPORT_FD") or 3))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"EMF_REPORT_FD must be the number of an open file descriptor (it is 3 by default): {error}\n")
        return REFUSED
    orders = Orders()
    try:
        supervisor = Supervisor(jobs.parse(orders.job()), reports, orders)
        supervisor.start()
    except (jobs.BadJob, OSError) as error:
        reports.send("refused", reason=str(error))
        return REFUSED
    supervisor.run()
    return 0
