"""The instances of an attempt run together: they start together, and the first that fails ends all."""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from prefect.exceptions import TerminationSignal

from flows.training.door import DoorClosed
from flows.training.instance import Instance
from flows.training.launch import launch
from flows.training.uploads import Uploads
from flows.training.verdict import Cause, Evidence


def run_together(
    instances: Sequence[Instance], pythons: Sequence[Path], mirrored: Path, echo: Callable[[str], None]
) -> tuple[Evidence, bool]:
    """Run the script on every instance, uploading what it leaves; returns how it ended, and whether by a signal to us.

    Args:
        instances: with their folders staged in.
        pythons: what each runs the script with.
        mirrored: where TensorBoard reads instance 0's files.
        echo: gets lines for the run's own log.
    """
    ends: list[tuple[float, Evidence]] = []

    def go(one: Instance, python: Path) -> None:
        uploads = Uploads(one, mirrored)
        uploads.start()
        try:
            evidence = launch(one, python, echo, lambda: _tell_started(one))
        except Exception as error:  # noqa: BLE001 (a thread's fault must reach the attempt's end)
            evidence = Evidence(Cause.PLATFORM, error=f"{type(error).__name__}: {error}")
        ends.append((time.monotonic(), evidence))
        if not is_success(evidence):
            one.stop.set()  # it is the same event for all of them
        uploads.finish()

    with ThreadPoolExecutor(len(instances), thread_name_prefix="instance") as pool:
        running = [pool.submit(go, one, python) for one, python in zip(instances, pythons, strict=True)]
        was_signalled = _wait_for(running, instances[0])
    for one in running:
        one.result()
    first_to_fail = min(ends, key=lambda end: (is_success(end[1]), end[0]))
    return first_to_fail[1], was_signalled


def is_success(evidence: Evidence) -> bool:
    """Say whether the script ended by itself, and well."""
    return evidence.cause == Cause.EXIT and evidence.exit_code == 0


def _tell_started(one: Instance) -> bool:
    """Tell that the script runs; returns False where nobody could be told yet."""
    if one.rank.index != 0:
        return True
    try:
        one.door.run()
    except DoorClosed:
        return False
    one.say("running")
    return True


def _wait_for(running: Sequence[Future[None]], first: Instance) -> bool:
    """Wait for the instances; returns whether a signal to this process ended them."""
    was_signalled = False
    while not all(one.done() for one in running):
        try:
            wait(running)  # not Thread.join: interrupted by a signal, it takes a living thread for ended
        except TerminationSignal:
            # Prefect sends it more than once; the grace and the last uploads must not be cut short by the next.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            was_signalled = True
            first.stop.set()
    return was_signalled
