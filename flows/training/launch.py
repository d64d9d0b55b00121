"""Start the launcher in the image's environment, feed it the job, keep what comes out, and see how it ends."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from blocks.logs.capture import Capture
from blocks.logs.echo import Echo
from blocks.logs.errors import LogError
from blocks.pools.environments import IMAGES
from blocks.tracking import Tracking
from flows.training.instance import Instance
from flows.training.job import job_of
from flows.training.usage import REQUEST_SECONDS, UsageLog
from flows.training.verdict import Cause, Evidence

OVERDUE_SECONDS = 20.0  # beyond the grace, before the launcher itself is killed
POLL_SECONDS = 0.2
READ_SECONDS = 10.0  # for what is still in the pipes of a script that has ended


def launch(
    instance: Instance,
    python: Path,
    echo: Echo,
    started: Callable[[], bool],
    ended: Callable[[Evidence], None],
) -> Evidence:
    """Run the script to its end and return what is known of that.

    No process of it outlives the call, unless the launcher had to be killed, or was: its main process dies with it, and
    others (torchrun's workers) live on until `reconcile` finds them by their mark.

    Args:
        instance: which, with its folders staged in.
        python: of the image's environment, or of the attempt's own on top of it.
        echo: shows lines in the run's own log.
        started: called when the script has started, again and again until it returns True: somebody was told.
        ended: called once it is known how the script ended, before its log and what it used are waited for.
    """
    process, job, output, events = _start(python)
    capture = Capture(output, instance.log, echo)
    usage = UsageLog(instance, Tracking(instance.assignment.tracked.tracking_uri, REQUEST_SECONDS))
    reports = _Reports(events, usage)
    usage.start()
    reports.start()
    # The end of its standard input ends a launcher whose run is gone, and its script: it stays open until then.
    try:
        with os.fdopen(job, "wb", buffering=0) as line:
            try:
                with suppress(BrokenPipeError):  # one that has ended by then is seen as such
                    line.write(json.dumps(job_of(instance, python)).encode() + b"\n")
                _wait(instance, process, reports, started)
            finally:
                _end(process, instance)
                reports.join(timeout=READ_SECONDS)
        ended(_evidence(reports, process.returncode, instance))
    finally:
        usage.finish()
    try:
        capture.finish(within=READ_SECONDS)
    except LogError as error:
        instance.door.warn(f"Warning: lines of the log were lost: {error}")
    return _evidence(reports, process.returncode, instance)


def _start(python: Path) -> tuple[subprocess.Popen[bytes], int, int, int]:
    """Start the launcher; returns it, and our ends of its pipes: the job's, the output's, the events'."""
    job_read, job_write = os.pipe()
    log_read, log_write = os.pipe()
    report_read, report_write = os.pipe()
    try:
        process = subprocess.Popen(
            [python, "-I", "-S", "-B", IMAGES / "launcher" / "__main__.py"],  # nothing of the user's can reach it
            stdin=job_read,
            stdout=log_write,
            stderr=log_write,
            pass_fds=(report_write,),
            env={"EMF_REPORT_FD": str(report_write), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
            start_new_session=True,
        )
    finally:
        for theirs in (job_read, log_write, report_write):
            os.close(theirs)
    return process, job_write, log_read, report_read


def _wait(
    instance: Instance, process: subprocess.Popen[bytes], reports: "_Reports", started: Callable[[], bool]
) -> None:
    """Wait until the launcher has ended or is to end."""
    is_known = False
    while process.poll() is None and not instance.is_to_end():
        if not is_known and reports.script_runs.is_set():
            is_known = started()
        instance.stop.wait(POLL_SECONDS)
    if process.poll() is not None:
        reports.join(timeout=READ_SECONDS)
    if not is_known and reports.script_runs.is_set():
        started()  # a script that was quicker than the first look has run all the same


def _end(process: subprocess.Popen[bytes], instance: Instance) -> None:
    """Have a launcher that still runs end its script; one that does not is killed, and with it the main process."""
    if process.poll() is not None:
        return
    process.terminate()
    instance.log.say("ending the script: SIGTERM, and its grace for saving")
    try:
        process.wait(instance.assignment.grace_seconds + OVERDUE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Reports(threading.Thread):
    """Reads the launcher's events; `ended` is its last word."""

    def __init__(self, descriptor: int, usage: UsageLog) -> None:
        super().__init__(name="reports", daemon=True)
        self._descriptor, self._usage = descriptor, usage
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
                        self._usage.take(int(event["memory_bytes"]), float(event["cpu_seconds"]), time.monotonic())
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
