"""Waiting with a deadline: look again and again until what is looked for is there."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
PAUSE_SECONDS = 0.2


def within(seconds: float, look: Callable[[], Found], what: str = "what was waited for") -> Found:
    """Return the first answer that is true; an assertion fails, with the last answer, when the time is over."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"{what} was not there within {seconds:g} s; the last answer was {found!r}"
        time.sleep(PAUSE_SECONDS)
    return found
