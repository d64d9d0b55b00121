"""From the evidence that an attempt left to a verdict: what happened, whether to try again, what to tell the person."""

from collections.abc import Sequence
from dataclasses import dataclass

from blocks.records.words import Reason, TrainingState, Wish
from flows.training.ends.evidence import LAST_LINES, LINE_CHARACTERS, Cause, Evidence, cut
from flows.training.ends.reasons import explain, named_signal
from flows.training.ends.retries import Ended, Retry, next_try, spent
from flows.training.ends.sentences import SAVE, SAVE_MORE, SAVE_SOMEWHERE

__all__ = [
    "LAST_LINES",
    "LINE_CHARACTERS",
    "Cause",
    "Ended",
    "Evidence",
    "Verdict",
    "cut",
    "decide",
    "explain",
    "named_signal",
]

T = TrainingState


@dataclass(frozen=True)
class Verdict:
    """Where the training goes from here, and why; a next try waits for so many seconds."""

    state: TrainingState
    reason: Reason | None
    message: str
    after_seconds: int = 0


def decide(
    evidence: Evidence, wish: Wish, history: Sequence[Ended] = (), *, committed: bool = False, keeps: bool = True
) -> Verdict:
    """Judge an attempt's end.

    Args:
        evidence: what is known of it.
        wish: what was wished of it when it ended.
        history: the attempts before it, the first one first.
        committed: whether it has committed a checkpoint.
        keeps: whether its training has a place for checkpoints.
    """
    settled = _settled(evidence, wish, keeps=keeps)
    if settled is not None:
        return settled
    has_any = committed or any(earlier.committed for earlier in history)
    reason, message = explain(evidence, SAVE_MORE if has_any else SAVE if keeps else SAVE_SOMEWHERE)
    if wish == Wish.SUSPEND and reason == Reason.INTERRUPTED:
        return Verdict(T.CREATE_IN_PROGRESS, reason, "The platform was stopped; it goes on when that is up.")
    if evidence.cause == Cause.OUTPUT:  # a place that refuses will refuse again, after all the work was done again
        return Verdict(T.FAIL_TRAIN, reason, message)
    retry = next_try(reason, history, committed=committed)
    if retry is None:
        return Verdict(T.FAIL_TRAIN, reason, message + _often(spent(history, reason)))
    if wish == Wish.SUSPEND:
        return Verdict(T.CREATE_IN_PROGRESS, reason, f"{message} It is tried again when the platform is up.")
    return Verdict(T.CREATE_IN_PROGRESS, reason, f"{message} {_again(retry)}", retry.after_seconds)


def _settled(evidence: Evidence, wish: Wish, *, keeps: bool) -> Verdict | None:
    """Return the verdict on what a person wished, on a success, and on a time that is over: none is tried again."""
    if wish == Wish.STOP or evidence.cause == Cause.CANCELLED:
        how = "cancelled its run in Prefect" if evidence.cause == Cause.CANCELLED else "asked it to stop"
        return Verdict(T.STOPPED, Reason.USER, f"A person {how}.")
    if evidence.cause == Cause.EXIT and evidence.exit_code == 0:
        return Verdict(T.COMPLETE, None, "The script ended with exit code 0.")
    if evidence.cause == Cause.DEADLINE:
        told = (
            "Its maximum training time is over; what it had saved by then is kept. To train on, copy it with a longer"
        )
        told += " one and its last checkpoint's folder as the checkpoint path."
        if not keeps:
            told = "Its maximum training time is over. Copy it with a longer one, and with a checkpoint path: then what"
            told += " it saves is kept."
        return Verdict(T.STOPPED, Reason.MAX_TRAINING_TIME, told)
    return None


def _again(retry: Retry) -> str:
    after = retry.after_seconds
    wait = f"{after} s" if after < 60 else f"{after // 60} min"
    what = f"retry {retry.number} of {retry.budget}" if retry.number else "from its newest checkpoint"
    return f"It is tried again in {wait} ({what})."


def _often(before: int) -> str:
    if not before:
        return ""
    return f" It is not tried again: {before + 1} attempts have ended like this without a new checkpoint."
