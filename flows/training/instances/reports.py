"""What a launcher reports of its script, heard while it runs and passed on at once."""

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.first_failure import is_success
from flows.training.instances.usage import UsageLog


class Reports(threading.Thread):
    """Reads a launcher's events until it closes its end of the pipe."""

    def __init__(
        self, descriptor: int, usage: UsageLog, failed: Callable[[], None], woke: Callable[[int, float], None]
    ) -> None:
        """Prepare to read from this descriptor.

        Args:
            descriptor: the pipe's end.
            usage: gets what the script's processes use.
            failed: called once its main process has ended otherwise than well.
            woke: called with the question's number and the seconds slept where the script waits for an answer.
        """
        super().__init__(name="reports", daemon=True)
        self._descriptor, self._usage, self._failed, self._woke = descriptor, usage, failed, woke
        self.script_runs, self.script_ended = threading.Event(), threading.Event()
        self.ended_at = 0.0  # when its main process was gone, by a steady clock
        self.ended: dict[str, Any] = {}  # the latest that is known of how it ended
        self.refused = ""
        self.peak = 0

    def run(self) -> None:
        """Read until the launcher closes its end."""
        with os.fdopen(self._descriptor, "rb") as stream:
            for line in stream:
                event = json.loads(line)
                self._take(event.pop("event"), event)

    def _take(self, name: str, event: dict[str, Any]) -> None:
        match name:
            case "started":
                self.script_runs.set()
            case "usage":
                self.peak = max(self.peak, int(event["peak_memory_bytes"]))
                self._usage.take(int(event["memory_bytes"]), float(event["cpu_seconds"]), time.monotonic())
            case "woke":
                self._woke(int(event["question"]), float(event["seconds"]))
            case "exited":
                self.ended_at, self.ended = time.monotonic(), event
                self.script_ended.set()
                if not is_success(Evidence(Cause(event["cause"]), exit_code=event["exit_code"])):
                    self._failed()
            case "ended":
                self.ended = event
            case "refused":
                self.refused = event["reason"]
            case _:
                return
