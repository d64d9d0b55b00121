"""The platform goes down, and trainings with it, by a wish that they obey; they go on when it is up again."""

import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.words import TrainingState, Wish

POLL_SECONDS = 0.5
INTERRUPTIONS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
ALIVE = (
    TrainingState.CREATE_REQUESTED,
    TrainingState.CREATE_IN_PROGRESS,
    TrainingState.RUNNING,
    TrainingState.COMPLETE_IN_PROGRESS,
)


def running(platform: Platform) -> list[str]:
    """Return what holds a machine now, in words for a person."""
    with platform.records.reading() as session:
        return [
            f"training {row.training.name} ({row.training_id}), {row.training.state}"
            for row in verbs.open_attempts(session)
        ]


def suspend_all(platform: Platform, deadline_seconds: float, tell: Callable[[list[str]], None]) -> list[str]:
    """Wish that every training pauses, and wait until none holds a machine; returns those that still do.

    Interrupted by a person, by SIGTERM or by a terminal that is lost, it takes the wish back: the platform stays up,
    and nothing would end the pause. To be called in the main thread, which alone hears signals.

    Args:
        platform: whose trainings.
        deadline_seconds: how long to wait.
        tell: called with what is still running, twice a second.

    Raises:
        KeyboardInterrupt: by whichever signal it was interrupted.
    """
    end = time.monotonic() + deadline_seconds
    with _interruptible():
        try:
            while True:
                _wish_pause(platform)  # again each time: what is recorded meanwhile would run on
                left = running(platform)
                if not left or time.monotonic() > end:
                    return left
                tell(left)
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            resume_all(platform)
            raise


@contextmanager
def _interruptible() -> Generator[None]:
    """Have the first signal that would end this process raise KeyboardInterrupt; no second one disturbs what follows.

    A signal that is ignored (`nohup`) stays so.
    """
    before = {number: signal.getsignal(number) for number in INTERRUPTIONS}
    heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]

    def interrupt(number: int, _frame: object) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    try:
        for number in heard:
            signal.signal(number, interrupt)
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _wish_pause(platform: Platform) -> None:
    with platform.records.writing() as session:
        trainings.wish_instead(session, Wish.SUSPEND, Wish.NONE, *ALIVE)


def resume_all(platform: Platform) -> int:
    """Take the wish to pause back; returns how many trainings go on."""
    with platform.records.writing() as session:
        return trainings.wish_instead(session, Wish.NONE, Wish.SUSPEND, *ALIVE)
