"""The instances of an attempt run together: they start together, and the first that fails ends all."""

import signal
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock

from prefect.exceptions import TerminationSignal

from blocks.hosts.loopback import free_ports
from blocks.logs.echo import Echo
from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.first_failure import InstanceEnd, broke_off, first_failure, is_success
from flows.training.instances.door import DoorClosed, GivenUp
from flows.training.instances.instance import Instance
from flows.training.instances.launch import launch
from flows.training.instances.uploads import Uploads


def run_together(
    instances: Sequence[Instance],
    pythons: Sequence[Path],
    mirrored: Path,
    show: Callable[[str], None],
    succeeded: Callable[[], None],
) -> tuple[Evidence, bool]:
    """Run the script on every instance, uploading what it leaves; returns how it ended, and whether by a signal to us.

    Args:
        instances: with their folders staged in.
        pythons: what each runs the script with.
        mirrored: where TensorBoard reads instance 0's files.
        show: gets lines for the run's own log, thinned out where there are many.
        succeeded: called once all scripts have ended well, before logs and uploads are waited for.

    Raises:
        NoFreePort: no ports are left through which the instances could find each other.
    """
    _choose_ports(instances)
    echo = Echo(show, instances[0].assignment.training_id)
    gang = _Gang(instances, echo, succeeded)
    was_signalled = _run(lambda: gang.run(pythons, mirrored), gang.stop)
    echo.finish()
    return first_failure(gang.ends), was_signalled


class _Gang:
    """The instances, and how each has ended so far."""

    def __init__(self, instances: Sequence[Instance], echo: Echo, succeeded: Callable[[], None]) -> None:
        self.instances, self.stop = instances, instances[0].stop  # it is the same event for all of them
        self.ends: list[InstanceEnd] = []
        self._echo, self._succeeded = echo, succeeded
        self._lock, self._well = Lock(), 0

    def run(self, pythons: Sequence[Path], mirrored: Path) -> None:
        """Run all scripts to their ends, and upload what they leave."""
        try:
            with (
                _uploading(self.instances, mirrored, self.ends) as uploads,
                ThreadPoolExecutor(len(self.instances), "instance") as pool,
            ):
                for one, python in zip(self.instances, pythons, strict=True):
                    pool.submit(self._go, one, python, uploads)
        except Exception as error:  # noqa: BLE001 (a thread's fault must reach the attempt's end)
            self.ends.append(_fault(error))

    def _go(self, one: Instance, python: Path, uploads: Uploads) -> None:
        def failed() -> None:
            self.stop.set()
            uploads.leave_checkpoints()  # what is torn by its end seems to rest while its log is waited for

        def told(evidence: Evidence) -> None:
            if is_success(evidence):
                self._ended_well()
            else:
                failed()

        try:
            end = launch(one, python, self._echo, lambda: _tell_started(one), failed, told)
        except Exception as error:  # noqa: BLE001 (as above)
            end = _fault(error)
        self.ends.append(end)
        if not is_success(end.evidence):
            self.stop.set()

    def _ended_well(self) -> None:
        with self._lock:
            self._well += 1
            is_last = self._well == len(self.instances)
        if is_last:
            self._succeeded()


def _fault(error: Exception) -> InstanceEnd:
    return InstanceEnd(Evidence(Cause.PLATFORM, error=f"{type(error).__name__}: {error}"), time.monotonic())


@contextmanager
def _uploading(instances: Sequence[Instance], mirrored: Path, ends: Sequence[InstanceEnd]) -> Generator[Uploads]:
    """Upload what the scripts leave while they run, and once more when all of them have ended."""
    uploads = Uploads(instances, mirrored)
    uploads.start()
    try:
        yield uploads
    finally:
        uploads.finish(is_whole=not any(broke_off(end) for end in ends))


def _choose_ports(instances: Sequence[Instance]) -> None:
    """Give the instances the ports to find each other by: only now, as in minutes others would have taken them."""
    port = free_ports(len(instances))
    for one in instances:
        one.rank = replace(one.rank, port=port)


def _tell_started(one: Instance) -> bool:
    """Tell that the script runs; returns False where nobody could be told yet."""
    if one.rank.index != 0:
        return True
    try:
        one.door.run()
    except DoorClosed:
        return False
    except GivenUp:
        one.door.given_up.set()  # before the next beat would notice
        return True
    one.door.progress = "running"
    return True


def _run(work: Callable[[], None], stop: Event) -> bool:
    """Run something in a thread to its end; returns whether a signal to this process set `stop`."""
    was_signalled = False
    with ThreadPoolExecutor(1, thread_name_prefix="gang") as pool:
        running: list[Future[None]] = []
        try:
            running.append(pool.submit(work))
            wait(running)  # not Thread.join: interrupted by a signal, it takes a living thread for ended
        except TerminationSignal:
            stop.set()
            # Prefect sends it more than once; the grace and the last uploads must not be cut short by the next.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            was_signalled = True
            wait(running)
    for one in running:
        one.result()
    return was_signalled
