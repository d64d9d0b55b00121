"""From the evidence that an attempt left to a verdict: what happened, whether to try again, what to tell the person."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from signal import Signals
from typing import Any

from blocks.records.words import Reason, TrainingState, Wish

KILLED = 128 + Signals.SIGKILL  # how a shell, or a parent that passes it on, tells of a kill
# What evidence may hold, so that the whole of it passes the controller's door, which takes 1 MiB.
LAST_LINES = 30
LINE_CHARACTERS = 2000
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
    """What is known of an attempt's end. Sizes are bytes."""

    cause: Cause
    exit_code: int | None = None
    signal: int | None = None
    oom_kills: int = 0
    peak_memory_bytes: int = 0
    memory_limit_bytes: int = 0
    model_files: int = 0
    error: str = ""
    last_lines: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as the records keep it: what is empty is left out, and what is too long is cut."""
        last = [cut(line, LINE_CHARACTERS) for line in self.last_lines[-LAST_LINES:]]
        told = asdict(self) | {"error": cut(self.error, ERROR_CHARACTERS), "last_lines": last}
        return {key: value for key, value in told.items() if value not in (None, 0, "", [])} | (
            {"exit_code": 0} if self.exit_code == 0 else {}
        )

    def in_short(self, why: str) -> "Evidence":
        """Return it without a word of the script's: how it ended, and why there is no more."""
        return replace(self, error=why, last_lines=())


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters; one that was longer ends with `…`."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True)
class Verdict:
    """Where the training goes from here, and why."""

    state: TrainingState
    reason: Reason | None
    message: str


BUDGET: Mapping[Reason, int] = {
    Reason.INTERRUPTED: 3,
    Reason.MACHINE_LOST: 3,
    Reason.STORAGE: 3,
    Reason.PENDING_TIMEOUT: 2,
    Reason.PLATFORM: 1,
}
"""How many attempts in a row, without a newer checkpoint, may end for a reason before the training fails for it."""

TRIES = 8
"""How many attempts, for whatever reasons, may come no further before the training fails."""


def decide(evidence: Evidence, wish: Wish, *, ended_alike: int = 0, no_further: int = 0) -> Verdict:
    """Judge an attempt's end.

    Args:
        evidence: what is known of it.
        wish: what was wished of it when it ended.
        ended_alike: how many attempts just before it ended for the same reason without a newer checkpoint.
        no_further: how many attempts before it, whatever ended them, came no further.
    """
    if wish == Wish.STOP or evidence.cause == Cause.CANCELLED:
        how = "cancelled its run in Prefect" if evidence.cause == Cause.CANCELLED else "asked it to stop"
        return Verdict(TrainingState.STOPPED, Reason.USER, f"A person {how}.")
    if evidence.cause == Cause.EXIT and evidence.exit_code == 0:
        return Verdict(TrainingState.COMPLETE, None, "The script ended with exit code 0.")
    if evidence.cause == Cause.DEADLINE:
        message = "Its maximum training time is over; what it had saved by then is kept."
        return Verdict(TrainingState.STOPPED, Reason.MAX_TRAINING_TIME, message)
    reason, message = explain(evidence)
    if wish == Wish.SUSPEND and reason == Reason.INTERRUPTED:
        return Verdict(
            TrainingState.CREATE_IN_PROGRESS, reason, "The platform was stopped; it goes on when that is up."
        )
    # A place that refuses will refuse again, after all the work was done again.
    budget = 0 if evidence.cause == Cause.OUTPUT else BUDGET.get(reason, 0)
    if ended_alike < budget and no_further + 1 < TRIES:
        return Verdict(TrainingState.CREATE_IN_PROGRESS, reason, f"{_sentence(message)} It is tried again.")
    tried = f" It ended like this {ended_alike + 1} times in a row." if ended_alike else ""
    if no_further + 1 >= TRIES and budget:
        tried = f" It is not tried again: {no_further + 1} attempts came no further."
    return Verdict(TrainingState.FAIL_TRAIN, reason, (_sentence(message) + tried) if tried else message)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def explain(evidence: Evidence) -> tuple[Reason, str]:
    """Return the reason of an end that nobody wished for, and a sentence for the person: what, and what to do."""
    cause = evidence.cause
    # Kills are counted in a group that other processes may share: they are the script's only where it was killed.
    was_killed = evidence.signal == Signals.SIGKILL or evidence.exit_code == KILLED
    if cause == Cause.MEMORY or (was_killed and evidence.oom_kills):
        return Reason.OUT_OF_MEMORY, _out_of_memory(evidence)
    if cause in (Cause.STOPPED, Cause.ORPHANED, Cause.CANCELLED, Cause.DEADLINE):
        return Reason.INTERRUPTED, "The script was interrupted from outside before it ended."
    if cause == Cause.EXIT:
        return _script_end(evidence)
    reason, sentence = {
        Cause.REQUIREMENTS: (Reason.USER_ERROR, "The packages of requirements.txt did not install: {}"),
        Cause.DATA: (Reason.DATA, "What the training reads could not be staged in: {}"),
        Cause.STORAGE: (Reason.STORAGE, "What the training reads could not be brought to its machine: {}"),
        Cause.OUTPUT: (Reason.STORAGE, "What it made could not be put in its place: {}"),
        Cause.IMAGE: (Reason.IMAGE, "The image's environment could not be made: {}"),
        Cause.PLATFORM: (Reason.PLATFORM, "The platform failed, not the script: {}"),
        Cause.LOST: (Reason.MACHINE_LOST, "The run fell silent: its machine or its process is gone: {}"),
        Cause.UNCLAIMED: (Reason.PENDING_TIMEOUT, "Its run did not begin in time: {}"),
    }[cause]
    return reason, sentence.format(evidence.error).strip().removesuffix(":")


def _script_end(evidence: Evidence) -> tuple[Reason, str]:
    if evidence.signal == Signals.SIGKILL:
        return Reason.INTERRUPTED, "The script was killed (signal 9) by something outside the platform."
    last = f" Its last line: {evidence.last_lines[-1]}" if evidence.last_lines else ""
    if evidence.oom_kills:
        last += " Meanwhile the machine, short of memory, killed a process: perhaps one of the script's own."
    if evidence.signal:
        return Reason.USER_ERROR, f"The script died from signal {named_signal(evidence.signal)}.{last}"
    return Reason.USER_ERROR, f"The script ended with exit code {evidence.exit_code}.{last}"


def _out_of_memory(evidence: Evidence) -> str:
    used, limit = (size / 2**30 for size in (evidence.peak_memory_bytes, evidence.memory_limit_bytes))
    return (
        f"The script and its processes used {used:.2f} GiB of memory; the instance type has {limit:.2f} GiB. "
        "Choose a larger instance type, or use less (a smaller batch, fewer loader workers)."
    )


def named_signal(number: int) -> str:
    """Return a signal's number and, where it has one, its name: `11 (SIGSEGV)`."""
    known = {signal.value: signal.name for signal in Signals}
    return f"{number} ({known[number]})" if number in known else str(number)
