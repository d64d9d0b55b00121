"""Which instance's end counts for its attempt: that of the one that failed first. Without I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from signal import Signals

from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.last_words import read
from flows.training.ends.reasons import End

OURS = frozenset({Cause.STOPPED, Cause.CANCELLED, Cause.ORPHANED, Cause.DEADLINE})
# NCCL's watchdog aborts a script that has lost a peer, and a write to a connection that is closed ends one.
BY_A_PEER = frozenset({Signals.SIGABRT, Signals.SIGPIPE})


@dataclass(frozen=True)
class InstanceEnd:
    """How an instance's script ended. Moments are seconds of a steady clock.

    `at` is when its main process was gone, `told_at` when we told it to end; infinity where we never did. `killed` is
    how many of its processes did not end by themselves.
    """

    evidence: Evidence
    at: float
    told_at: float = math.inf
    killed: int = 0


class Kind(IntEnum):
    """What an end may be, in the order in which they count."""

    OF_ITSELF = 0  # nothing that befell another explains it
    PERHAPS_A_PEERS = 1  # a script that loses a peer fails as well, within milliseconds
    DEADLINE = 2
    STOPPED = 3
    FOLLOWED = 4  # it lost a peer that was being stopped
    WELL = 5


def is_success(evidence: Evidence) -> bool:
    """Say whether the script ended by itself, and well."""
    return evidence.cause == Cause.EXIT and evidence.exit_code == 0


def broke_off(ended: InstanceEnd) -> bool:
    """Say whether a script may have died while it wrote: a process of it was killed, or nobody saw it end by itself."""
    end = End(ended.evidence, read(ended.evidence.last_lines, ended.evidence.exit_code))
    return ended.killed > 0 or end.was_killed or end.exit_code is None


def first_failure(ends: Sequence[InstanceEnd]) -> Evidence:
    """Return the evidence that counts: of the first that failed, else of our own stopping, else of a success.

    None at all is an attempt that was stopped before its first script began.
    """
    stopping = min((min(end.told_at, end.at if _is_ours(end) else math.inf) for end in ends), default=math.inf)
    nothing = InstanceEnd(Evidence(Cause.STOPPED), 0.0)
    return min(ends, key=lambda end: (_kind(end, stopping), end.at), default=nothing).evidence


def _is_ours(end: InstanceEnd) -> bool:
    return end.evidence.cause in OURS


def _kind(end: InstanceEnd, stopping: float) -> Kind:
    """Return what an end is where we began to stop scripts at a moment."""
    if is_success(end.evidence):
        return Kind.WELL
    if _is_ours(end):
        return Kind.DEADLINE if end.evidence.cause == Cause.DEADLINE else Kind.STOPPED
    if _is_of_itself(end.evidence):
        return Kind.OF_ITSELF
    return Kind.PERHAPS_A_PEERS if end.at <= stopping else Kind.FOLLOWED


def _is_of_itself(evidence: Evidence) -> bool:
    """Say whether no peer's end can have caused this one: it was killed, had no memory, or nobody saw its end."""
    if evidence.cause != Cause.EXIT:
        return True
    end = End(evidence, read(evidence.last_lines, evidence.exit_code))
    return end.was_killed or (end.signal is not None and end.signal not in BY_A_PEER)
