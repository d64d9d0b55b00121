"""How often an attempt that ended is followed by another, and after how long: one table, and what is spent of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from blocks.records.words import Reason

BACK_OFF: Mapping[Reason, tuple[int, ...]] = {
    Reason.INTERRUPTED: (2, 30, 120),
    Reason.MACHINE_LOST: (2, 30, 120),
    Reason.STORAGE: (60, 300, 900),  # it was waited for already: what is still full or away takes its time
    Reason.PENDING_TIMEOUT: (30, 120),
    Reason.PLATFORM: (10,),
}
"""The seconds before each retry that a reason has; their number is its budget. All other reasons have none."""

OFTEN = 10  # ends for one reason in a row, each with a checkpoint, after which the waits begin to grow
LONGEST_WITH_CHECKPOINT = 600  # seconds
JITTER = 0.1  # of the wait, at most, on top of it: what one fault has ended must not come back in one moment
LONGEST_SECONDS = max(max(waits) for waits in BACK_OFF.values()) * (1 + JITTER)


@dataclass(frozen=True)
class Ended:
    """An earlier attempt: what it ended for, and whether it had committed a checkpoint.

    Without a reason it was paused with the platform, which counts for nothing.
    """

    reason: Reason | None
    committed: bool = False


@dataclass(frozen=True)
class Retry:
    """The next try: after how many seconds, and which it is of the reason's budget (0: a checkpoint pays for it)."""

    after_seconds: int
    number: int
    budget: int


def spent(history: Sequence[Ended], reason: Reason) -> int:
    """Return how many attempts ended for a reason since the last that committed a checkpoint.

    That one costs nothing itself, and others may stand between those that count.
    """
    since = takewhile(lambda earlier: not earlier.committed, reversed(history))
    return sum(earlier.reason == reason for earlier in since)


def next_try(reason: Reason, history: Sequence[Ended], *, committed: bool) -> Retry | None:
    """Return the try that follows an attempt's end, or None where there is to be none.

    Args:
        reason: what it ended for.
        history: the attempts before it, the first one first.
        committed: whether it has committed a checkpoint: then it costs nothing.
    """
    waits = BACK_OFF.get(reason, ())
    before = 0 if committed else spent(history, reason)
    if before >= len(waits):
        return None
    if not committed:
        return Retry(waits[before], before + 1, len(waits))
    alike = sum(1 for _ in takewhile(lambda earlier: earlier.reason == reason, reversed(history)))
    wait = min(waits[0] * 2 ** min(max(0, alike - OFTEN), 20), max(waits[0], LONGEST_WITH_CHECKPOINT))
    return Retry(wait, 0, len(waits))
