"""What is said to a launcher while its script runs: above all whether one that was held on waking may go on.

The attempt's lease may have run out while its machine slept, or its processes were stopped.
"""

import logging
import os
import threading
from contextlib import suppress

from flows.training.instances.door import GivenUp
from flows.training.instances.instance import Instance

GIVEN_UP = "given up"  # the script is killed: what it would save does not count
GO_ON = "go on"  # with the number of the question

logger = logging.getLogger(__name__)


class Orders:
    """A launcher's standard input. Its end ends the script: it stays open for as long as that may run. Thread-safe."""

    def __init__(self, descriptor: int) -> None:
        """Write to this file descriptor, and close it at the end."""
        self._stream = os.fdopen(descriptor, "wb", buffering=0)
        self._lock = threading.Lock()

    def __enter__(self) -> "Orders":
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._stream.close()

    @property
    def open(self) -> bool:
        """False once the script has ended."""
        return not self._stream.closed

    def say(self, line: str) -> bool:
        """Write a line; returns False where the script has ended and needs none."""
        rest = line.encode() + b"\n"
        with self._lock, suppress(BrokenPipeError):
            while rest and self.open:
                rest = rest[self._stream.write(rest) :]
        return not rest


def confirm(instance: Instance, orders: Orders, question: int, seconds: float) -> None:
    """Let a held script go on once the controller has said that the attempt is ours; kill it where it is not.

    Returns within the hours that `Door.confirm` has patience: an attempt of which nothing is known for so long ends.

    Args:
        instance: whose script it is.
        orders: its launcher's.
        question: the number of the launcher's question.
        seconds: for how long the launcher did not run.
    """
    log = instance.log
    log.say(f"did not run for {seconds:.0f} s; the script waits until the attempt is known to be still ours", "WARNING")
    try:
        instance.door.confirm()
    except GivenUp:
        instance.door.given_up.set()  # before the next beat would notice
        if orders.say(GIVEN_UP):
            log.say("the attempt was given up meanwhile: the script is killed", "WARNING")
    except Exception:
        logger.exception("It is not known whether the attempt %s is still ours.", instance.assignment.attempt_id)
        if orders.open:  # what comes after the script asks for itself
            instance.stop.set()
    else:
        if orders.say(f"{GO_ON} {question}"):
            log.say("the attempt is still ours: the script goes on")


def confirm_beside(instance: Instance, orders: Orders, question: int, seconds: float) -> None:
    """Do so in a thread of its own: meanwhile a stop must be heard, and the script's end."""
    threading.Thread(target=confirm, args=(instance, orders, question, seconds), name="confirm", daemon=True).start()
