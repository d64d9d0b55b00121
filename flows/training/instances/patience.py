"""A place that is away for a while costs that while, not the work: how long it is asked again, and what is told."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from blocks.errors import BlockError, Temporary
from blocks.storage.errors import NoSpace, StorageError
from flows.training.checkpoints.manifest import Damaged
from flows.training.ends.verdict import Cause
from flows.training.instances.door import END_SECONDS
from flows.training.instances.instance import Instance, StepFailed

PAUSE_SECONDS = 20.0  # the longest between two tries

R = TypeVar("R")


@dataclass(frozen=True)
class Patience:
    """How long what may pass is waited for, in seconds without progress, and what an end without success is called."""

    seconds: float
    passes: tuple[type[BlockError], ...]
    away: Cause
    refused: Cause


# While staging in, all that is written is this machine's disk: what fills it may be another training's, and go.
STAGING_IN = Patience(600.0, (Temporary, NoSpace), away=Cause.STORAGE, refused=Cause.DATA)
# A model is all that its script's hours have come to.
STAGING_OUT = Patience(END_SECONDS, (Temporary,), away=Cause.OUTPUT, refused=Cause.OUTPUT)


class Absence:
    """How long a place has been away: since the first failure after the work last came further. Pure."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._furthest = 0

    def seconds(self, furthest: int, now: float) -> float:
        """Take a failure and return for how many seconds, `furthest` unchanged, there were only failures.

        Args:
            furthest: the furthest that any try has come; one that breaks off earlier than another is no progress.
            now: seconds of a steady clock.
        """
        if self._since is None or furthest > self._furthest:
            self._since, self._furthest = now, furthest
        return now - self._since


def patiently(instance: Instance, patience: Patience, do: Callable[[], R]) -> R:
    """Do what touches a place, again and again where that may help; the progress tells what is waited for.

    Raises:
        StepFailed: it was refused, or was away all the time; the cause is the patience's word for that.
        Interrupted: the attempt is to end.
    """
    said: set[type] = set()
    absence = Absence()
    instance.furthest = 0

    def is_over(_state: RetryCallState) -> bool:
        return absence.seconds(instance.furthest, time.monotonic()) >= patience.seconds

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        text = f"waiting, for up to {_duration(patience.seconds)}, and trying again: {error}"
        instance.door.progress = text
        if type(error) not in said:  # hours of the same, each with another number in it, would bury the script's words
            said.add(type(error))
            instance.log.say(text, "WARNING")

    retrying = Retrying(
        retry=retry_if_exception_type(patience.passes),
        stop=is_over,
        wait=wait_exponential_jitter(max=PAUSE_SECONDS),
        sleep=instance.pause,
        before_sleep=tell,
        reraise=True,
    )
    try:
        return retrying(do)
    except (Damaged, StorageError) as error:
        cause = patience.away if isinstance(error, patience.passes) else patience.refused
        raise StepFailed(cause, str(error)) from error


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
