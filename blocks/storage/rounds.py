"""Work of many requests over a line on which some fail: only what failed for a moment is done again.

Each request is tried a few times by itself. Where three in ten fail, one in a hundred still does after that, so of a
thousand files some always would: the others must not begin again for them.
"""

import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, wait_exponential_jitter

from blocks.storage.errors import Unreachable

ROUNDS = 5
"""Times that what is left is tried, the first one included."""
BARREN = 3
"""Rounds in a row that bring nothing: a place that is away is the caller's to wait for, who can tell of it."""
QUIET_SECONDS = 60.0
"""Without anything brought, after which no further round begins: that place does not even refuse."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 10.0

T = TypeVar("T")
R = TypeVar("R")
Left = tuple[list[T], Unreachable | None]
"""What a round has left undone, and the first fault that was met; None where nothing is left."""


def is_last(rounds: int, barren: int, quiet: float) -> bool:
    """Say whether what a round has left is not tried again.

    Args:
        rounds: how many there have been.
        barren: how many of them, the latest ones in a row, have brought nothing.
        quiet: for how many seconds nothing has been brought.
    """
    return rounds >= ROUNDS or barren >= BARREN or quiet >= QUIET_SECONDS


def in_rounds(items: Sequence[T], carry_out: Callable[[list[T]], Left[T]]) -> None:
    """Carry items out, and those again that failed for a moment, in rounds with growing pauses between them.

    Args:
        items: what is to be done; doing one twice must be fine.
        carry_out: does each of what it is given and returns what is left of it. What it raises ends the rounds.

    Raises:
        Unreachable: something is left after the last round; the fault is that round's first.
    """
    work = _Work(items)

    def stop(state: RetryCallState) -> bool:
        return is_last(state.attempt_number, work.barren, time.monotonic() - work.brought_at)

    retrying = Retrying(
        retry=retry_if_result(_is_fault),
        stop=stop,
        wait=wait_exponential_jitter(multiplier=PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS, jitter=PAUSE_SECONDS),
        retry_error_callback=_result,
    )
    fault = retrying(work.once, carry_out)
    if fault is not None:
        raise fault


def again(request: Callable[[], R]) -> R:
    """Return what a request brings; one that fails for a moment, and not slowly, is made again a few times.

    Raises:
        Unreachable: it failed each time.
    """
    brought: list[R] = []

    def carry_out(requests: list[Callable[[], R]]) -> Left[Callable[[], R]]:
        try:
            brought.append(requests[0]())
        except Unreachable as fault:
            return requests, fault
        return [], None

    in_rounds([request], carry_out)
    return brought[0]


class _Work(Generic[T]):
    """What is left of the work, and since when nothing came of it."""

    def __init__(self, items: Sequence[T]) -> None:
        self.left = list(items)
        self.barren = 0
        self.brought_at = time.monotonic()

    def once(self, carry_out: Callable[[list[T]], Left[T]]) -> Unreachable | None:
        before = len(self.left)
        self.left, fault = carry_out(self.left)
        if len(self.left) < before:
            self.barren, self.brought_at = 0, time.monotonic()
        else:
            self.barren += 1
        return fault


def _is_fault(fault: Unreachable | None) -> bool:
    return fault is not None


def _result(state: RetryCallState) -> Unreachable | None:
    return state.outcome.result() if state.outcome else None
