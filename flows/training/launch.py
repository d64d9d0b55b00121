"""Start the launcher in the image's environment, feed it the job, keep what comes out, and see how it ends."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blocks.logs.capture import Capture
from blocks.logs.errors import LogError
from blocks.pools.environments import IMAGES
from flows.training.instance import Instance
from flows.training.job import job_of
from flows.training.verdict import Cause, Evidence

OVERDUE_SECONDS = 20.0  # beyond the grace, before the launcher itself is killed
POLL_SECONDS = 0.2
READ_SECONDS = 10.0  # for what is still in the pipes of a script that has ended


def launch(instance: Instance, python: Path, echo: Callable[[str], None], started: Callable[[], bool]) -> Evidence:
    """Run the script to its end and return what is known of that.

    Args:
        instance: which, with its folders staged in.
        python: of the image's environment, or of the attempt's own on top of it.
        echo: gets lines for the run's own log, thinned out where there are many.
        started: called when the script has started, again and again until it returns True: somebody was told.
    """
    job_read, job_write = os.pipe()
    log_read, log_write = os.pipe()
    report_read, report_write = os.pipe()
    process = subprocess.Popen(
        [python, "-I", "-S", "-B", IMAGES / "launcher" / "__main__.py"],  # nothing of the user's can reach it
        stdin=job_read,
        stdout=log_write,
        stderr=log_write,
        pass_fds=(report_write,),
        env={"EMF_REPORT_FD": str(report_write), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        start_new_session=True,
    )
    for theirs in (job_read, log_write, report_write):
        os.close(theirs)
    capture = Capture(log_read, instance.log, echo, instance.assignment.training_id)
    reports = _Reports(report_read)
    reports.start()
    # The end of its standard input ends a launcher whose run is gone, and its script: it stays open until then.
    with os.fdopen(job_write, "wb", buffering=0) as line:
        line.write(json.dumps(job_of(instance, python)).encode() + b"\n")
        _wait(instance, process, reports, started)
    reports.join(timeout=READ_SECONDS)
    try:
        capture.finish(within=READ_SECONDS)
    except LogError as error:
        instance.door.warn(f"Warning: lines of the log were lost: {error}")
    return _evidence(reports, process.returncode, instance)


def _wait(
    instance: Instance, process: subprocess.Popen[bytes], reports: "_Reports", started: Callable[[], bool]
) -> None:
    """Wait for the launcher's end; pass a wish on to it once, and kill it when it does not obey."""
    told_at: float | None = None
    is_known = False
    while process.poll() is None:
        if not is_known and reports.script_runs.is_set():
            is_known = started()
        if told_at is None and instance.is_to_end():
            told_at = time.monotonic()
            instance.log.say("ending the script: SIGTERM, and its grace for saving")
            process.terminate()
        if told_at is not None and time.monotonic() - told_at > instance.assignment.grace_seconds + OVERDUE_SECONDS:
            process.kill()
        instance.stop.wait(POLL_SECONDS) if told_at is None else time.sleep(POLL_SECONDS)
    reports.join(timeout=READ_SECONDS)
    if not is_known and reports.script_runs.is_set():
        started()  # a script that was quicker than the first look has run all the same


class _Reports(threading.Thread):
    """Reads the launcher's events; `ended` is its last word."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="reports", daemon=True)
        self._descriptor = descriptor
        self.script_runs = threading.Event()
        self.ended: dict[str, Any] = {}
        self.refused = ""
        self.peak = 0

    def run(self) -> None:
        """Read until the launcher closes its end."""
        with os.fdopen(self._descriptor, "rb") as stream:
            for line in stream:
                event = json.loads(line)
                match event.pop("event"):
                    case "started":
                        self.script_runs.set()
                    case "usage":
                        self.peak = max(self.peak, int(event["peak_memory_bytes"]))
                    case "ended":
                        self.ended = event
                    case "refused":
                        self.refused = event["reason"]
                    case _:
                        continue


def _evidence(reports: _Reports, launcher_code: int, instance: Instance) -> Evidence:
    limit, last = instance.assignment.memory_bytes, tuple(instance.log.last)
    if not reports.ended:
        what = reports.refused or f"the launcher ended with {launcher_code} and did not say how the script did"
        return Evidence(Cause.PLATFORM, error=what, last_lines=last)
    ended = reports.ended
    return Evidence(
        cause=Cause(ended["cause"]),
        exit_code=ended.get("exit_code"),
        signal=ended.get("signal"),
        oom_kills=int(ended.get("oom_kills") or 0),
        peak_memory_bytes=int(ended.get("peak_memory_bytes") or reports.peak),
        memory_limit_bytes=limit,
        last_lines=last,
    )
