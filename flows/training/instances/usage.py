"""What a script's processes use, in the training's MLflow run: there also where the script knows nothing of MLflow.

MLflow's own system metrics are those of the whole machine, and only of a script that has a run of MLflow open. These
are of the script's tree alone, which is what the limits of an instance type are about; their names are their own.
"""

import logging
import threading
import time
from collections import deque

from blocks.errors import Temporary
from blocks.tracking import Tracking
from blocks.tracking.entities import Metric
from flows.training.instances.door import GivenUp
from flows.training.instances.instance import Instance

SAMPLE_SECONDS = 10.0
REQUEST_SECONDS = 5.0
MOST_WAITING = 720  # values that wait while MLflow is away: an hour's

logger = logging.getLogger(__name__)


class Sampler:
    """From the launcher's reports of use to a sample every ten seconds. Pure: it is told the time."""

    def __init__(self, prefix: str, vcpus: float) -> None:
        self._prefix, self._vcpus = prefix, vcpus
        self._began: float | None = None
        self._cpu_seconds = 0.0
        self._memory_bytes = 0

    def take(self, memory_bytes: int, cpu_seconds: float, now: float) -> dict[str, float]:
        """Take a report; returns a sample by its metrics' names where it is time for one.

        Args:
            memory_bytes: of all processes at this moment; a sample has the most of its ten seconds.
            cpu_seconds: of all processes since the start; a sample has their mean, in percent of the vCPUs.
            now: seconds of a steady clock.
        """
        self._memory_bytes = max(self._memory_bytes, memory_bytes)
        if self._began is None:
            self._began, self._cpu_seconds = now, cpu_seconds
            return {}
        seconds = now - self._began
        if seconds < SAMPLE_SECONDS:
            return {}
        used = max(0.0, cpu_seconds - self._cpu_seconds)
        sample = {
            f"{self._prefix}training_memory_megabytes": self._memory_bytes / 1e6,
            f"{self._prefix}training_cpu_percentage": 100 * used / seconds / self._vcpus,
        }
        self._began, self._cpu_seconds, self._memory_bytes = now, cpu_seconds, 0
        return sample


class UsageLog(threading.Thread):
    """Sends an instance's samples to its run, from a thread of its own; what MLflow does not take ends nothing."""

    def __init__(self, instance: Instance, tracking: Tracking) -> None:
        super().__init__(name="usage", daemon=True)
        assignment, rank = instance.assignment, instance.rank
        self._door, self._tracking, self._run_id = instance.door, tracking, assignment.tracked.run_id
        # As MLflow names the nodes of a run that has several.
        self._sampler = Sampler(f"system/{rank.index}/" if rank.count > 1 else "system/", assignment.vcpus)
        self._began: float | None = None
        self._trained_before = assignment.spec.maximum_seconds - assignment.seconds_left
        self._taken: deque[Metric] = deque(maxlen=MOST_WAITING)
        self._unsent: list[Metric] = []
        self._over = threading.Event()

    def take(self, memory_bytes: int, cpu_seconds: float, now: float) -> None:
        """Take a report of the launcher's, as `Sampler.take` does; never waits."""
        self._began = now if self._began is None else self._began
        moment, step = time.time_ns() // 1_000_000, round(self._trained_before + now - self._began)
        sample = self._sampler.take(memory_bytes, cpu_seconds, now)
        self._taken.extend(Metric(name, value, moment, step) for name, value in sample.items())

    def run(self) -> None:
        """Send what there is, every ten seconds until `finish`."""
        while not self._over.wait(SAMPLE_SECONDS):
            self._send()

    def finish(self) -> None:
        """Send what is left, once."""
        self._over.set()
        self.join(2 * REQUEST_SECONDS)
        if not self.is_alive():
            self._send()

    def _send(self) -> None:
        while self._taken:
            self._unsent.append(self._taken.popleft())
        if not self._unsent or not self._run_id or self._door.given_up.is_set():
            return
        try:
            self._door.make_sure()
            self._tracking.log_metrics(self._run_id, self._unsent)
        except GivenUp:
            return
        except Temporary:
            self._unsent = self._unsent[-MOST_WAITING:]  # with the next ones
        except Exception as error:  # noqa: BLE001 (a run that was deleted, say: it is asked no more)
            self._run_id = ""
            logger.warning("MLflow does not take what the script's processes use: %s", error)
        else:
            self._unsent = []
