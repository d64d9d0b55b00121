"""Start the launcher in the image's environment, feed it the job, keep what comes out, and see how it ends."""

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from blocks.logs.capture import Capture
from blocks.logs.echo import Echo
from blocks.logs.errors import LogError
from blocks.pools.environments import IMAGES
from blocks.tracking import Tracking
from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.first_failure import InstanceEnd
from flows.training.ends.reasons import how_it_ended
from flows.training.instances.instance import Instance
from flows.training.instances.job import job_of
from flows.training.instances.reports import Reports
from flows.training.instances.usage import REQUEST_SECONDS, UsageLog
from flows.training.instances.waking import GIVEN_UP, Orders, confirm_beside

OVERDUE_SECONDS = 20.0  # beyond the grace, before the launcher itself is killed
POLL_SECONDS = 0.2
READ_SECONDS = 10.0  # for what is still in the pipes of a script that has ended


def launch(
    instance: Instance,
    python: Path,
    echo: Echo,
    started: Callable[[], bool],
    failed: Callable[[], None],
    ended: Callable[[Evidence], None],
) -> InstanceEnd:
    """Run the script to its end and return what is known of that.

    No process of it outlives the call, unless the launcher had to be killed, or was: its main process and torchrun's
    workers die with it, and others live on until `reconcile` finds them by their mark.

    Args:
        instance: which, with its folders staged in.
        python: of the image's environment, or of the attempt's own on top of it.
        echo: shows lines in the run's own log.
        started: called when the script has started, again and again until it returns True: somebody was told.
        failed: called as soon as its main process has ended otherwise than well, before what it leaves is ended.
        ended: called once it is known how the script ended, before its log and what it used are waited for.
    """
    process, job, output, events = _start(python)
    capture = Capture(output, instance.log, echo)
    usage = UsageLog(instance, Tracking(instance.assignment.tracked.tracking_uri, REQUEST_SECONDS))
    orders, told_at = Orders(job), math.inf
    reports = Reports(events, usage, failed, lambda number, slept: confirm_beside(instance, orders, number, slept))
    usage.start()
    reports.start()
    try:
        with orders:
            try:
                instance.log.say("starting the script")
                orders.say(json.dumps(job_of(instance, python)))
                _wait(instance, process, reports, started)
            finally:
                told_at = _end(process, instance, reports, orders)
                reports.join(timeout=READ_SECONDS)
        at = reports.ended_at or time.monotonic()
        ended(_evidence(reports, process.returncode, instance, told_at))
    finally:
        usage.finish()
    try:
        capture.finish(within=READ_SECONDS)
    except LogError as error:
        instance.door.warn(f"Warning: lines of the log were lost: {error}")
    killed = sum(int(reports.ended.get(word) or 0) for word in ("processes_killed", "survivors"))
    evidence = _evidence(reports, process.returncode, instance, told_at)
    if told := how_it_ended(evidence):
        instance.log.say(told)
    return InstanceEnd(evidence, at, told_at, killed)


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


def _wait(instance: Instance, process: subprocess.Popen[bytes], reports: Reports, started: Callable[[], bool]) -> None:
    """Wait until the script has ended or is to end."""
    is_known = False
    while process.poll() is None and not (instance.is_to_end() or reports.script_ended.is_set()):
        if not is_known and reports.script_runs.is_set():
            is_known = started()
        instance.stop.wait(POLL_SECONDS)
    if process.poll() is not None:
        reports.join(timeout=READ_SECONDS)
    if not is_known and reports.script_runs.is_set():
        started()  # a script that was quicker than the first look has run all the same


def _end(process: subprocess.Popen[bytes], instance: Instance, reports: Reports, orders: Orders) -> float:
    """Have a launcher that still runs end its script; one that does not is killed, and with it the main process.

    Returns the moment at which it was told to, by a steady clock; infinity where the script had ended by itself.
    """
    if process.poll() is not None:
        return math.inf
    told_at, grace = math.inf, 0
    if not reports.script_ended.is_set():
        told_at = time.monotonic()
        if instance.door.given_up.is_set() and reports.script_runs.is_set():
            orders.say(GIVEN_UP)
            instance.log.say("killing the script: the attempt was given up, and what it saves would not count")
        else:
            process.terminate()
            grace = instance.assignment.grace_seconds
            instance.log.say("ending the script: SIGTERM, and its grace for saving")
    try:
        process.wait(grace + OVERDUE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return told_at


def _evidence(reports: Reports, launcher_code: int, instance: Instance, told_at: float) -> Evidence:
    if not reports.ended:
        return _unreported(reports, launcher_code, instance, told_at)
    ended = reports.ended
    return Evidence(
        cause=Cause(ended["cause"]),
        exit_code=ended.get("exit_code"),
        signal=ended.get("signal"),
        oom_kills=int(ended.get("oom_kills") or 0),
        peak_memory_bytes=int(ended.get("peak_memory_bytes") or reports.peak),
        memory_limit_bytes=instance.assignment.memory_bytes,
        last_lines=tuple(instance.log.last),
    )


def _unreported(reports: Reports, launcher_code: int, instance: Instance, told_at: float) -> Evidence:
    """Return what is known of a script whose launcher did not say how it ended."""
    last = tuple(instance.log.last)
    if reports.refused:
        return Evidence(Cause.PLATFORM, error=reports.refused, last_lines=last)
    was_killed = launcher_code == -signal.SIGKILL and told_at == math.inf
    if was_killed and reports.script_runs.is_set():  # whoever kills it kills the script, which dies with it
        return Evidence(Cause.EXIT, signal=signal.SIGKILL, error="its launcher was killed", last_lines=last)
    what = f"the launcher ended with {launcher_code} and did not say how the script did"
    # One that was told to end before it could listen dies of that: a stop as any other.
    is_stop = was_killed or told_at < math.inf
    return Evidence(Cause.STOPPED if is_stop else Cause.PLATFORM, error=what, last_lines=last)
