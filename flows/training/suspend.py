"""The platform goes down, and trainings with it, by a wish that they obey; they go on when it is up again."""

import time
from collections.abc import Callable

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.words import TrainingState, Wish

POLL_SECONDS = 0.5
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

    Interrupted by a person, it takes the wish back: the platform stays up, and nothing would end the pause.

    Args:
        platform: whose trainings.
        deadline_seconds: how long to wait.
        tell: called with what is still running, twice a second.
    """
    try:
        _wish_pause(platform)
        end = time.monotonic() + deadline_seconds
        while (left := running(platform)) and time.monotonic() < end:
            tell(left)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        resume_all(platform)
        raise
    return left


def _wish_pause(platform: Platform) -> None:
    with platform.records.writing() as session:
        for row in trainings.in_state(session, *ALIVE):
            if row.wish == Wish.NONE:
                row.wish = Wish.SUSPEND


def resume_all(platform: Platform) -> int:
    """Take the wish to pause back; returns how many trainings go on."""
    with platform.records.writing() as session:
        rows = [row for row in trainings.in_state(session, *ALIVE) if row.wish == Wish.SUSPEND]
        for row in rows:
            row.wish = Wish.NONE
        return len(rows)
