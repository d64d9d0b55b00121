"""What is known of an attempt's end, told by whoever saw it; small enough to pass the controller's door."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

# What evidence may hold, so that the whole of it passes the controller's door, which takes 1 MiB.
LAST_LINES = 100  # torchrun's report of eight workers, and before it the words of the one that failed first
LINE_CHARACTERS = 2000
LINES_CHARACTERS = 60_000
ERROR_CHARACTERS = 8000


class Cause(StrEnum):
    """What ended an attempt, as seen by the one who saw it."""

    EXIT = "exit"  # the script ended by itself
    STOPPED = "stopped"  # SIGTERM was passed on to it
    CANCELLED = "cancelled"  # a person cancelled its run in Prefect
    DEADLINE = "deadline"  # its maximum time was over
    MEMORY = "memory"  # our watcher saw it over its limit
    ORPHANED = "orphaned"  # the run that watched it died
    REQUIREMENTS = "requirements"  # its requirements.txt did not install
    DATA = "data"  # what it reads is not there, or is more than it asked room for
    STORAGE = "storage"  # where it reads from did not answer, or the machine's disk was full
    OUTPUT = "output"  # what it made was refused by its place, which may have been away for hours
    IMAGE = "image"  # its environment could not be made
    PLATFORM = "platform"  # we failed
    LOST = "lost"  # nobody saw: the attempt fell silent
    UNCLAIMED = "unclaimed"  # no run came for its lease


@dataclass(frozen=True)
class Evidence:
    """What is known of an attempt's end. Sizes are bytes.

    `engine` is the engine's own word for the end (`OOMKilled`, `Evicted`, …), empty where it said none; `phase` is how
    far the attempt had come, empty where that is not known.
    """

    cause: Cause
    exit_code: int | None = None
    signal: int | None = None
    oom_kills: int = 0
    peak_memory_bytes: int = 0
    memory_limit_bytes: int = 0
    model_files: int = 0
    error: str = ""
    last_lines: Sequence[str] = ()
    engine: str = ""
    phase: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as the records keep it: what is empty is left out, and what is too long is cut."""
        told = asdict(self) | {"error": cut(self.error, ERROR_CHARACTERS), "last_lines": _latest(self.last_lines)}
        return {key: value for key, value in told.items() if value not in (None, 0, "", [])} | (
            {"exit_code": 0} if self.exit_code == 0 else {}
        )

    def in_short(self, why: str) -> "Evidence":
        """Return it without a word of the script's: how it ended, and why there is no more."""
        return replace(self, error=why, last_lines=())


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters; one that was longer ends with `…`."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _latest(lines: Sequence[str]) -> list[str]:
    """Return the last lines, each cut, as many as there is room for."""
    kept: list[str] = []
    room = LINES_CHARACTERS
    for line in reversed(lines[-LAST_LINES:]):
        short = cut(line, LINE_CHARACTERS)
        room -= len(short)
        if room < 0:
            break
        kept.append(short)
    return kept[::-1]
