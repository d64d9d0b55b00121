"""Where evidence meets the records: judge an attempt by what went before it, and close it."""

from datetime import timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy.orm import Session

from blocks.records import attempt as verbs
from blocks.records.tables import Attempt, now
from blocks.records.words import Reason, TrainingState, Wish
from flows.training.verdict import Cause, Evidence, Verdict, decide, explain

BACK_OFF_SECONDS = (5, 30, 120)
FURTHER = timedelta(minutes=10)  # a checkpoint that is written at every start is no progress
SUSPENDED = "suspended"  # in the evidence of an attempt that obeyed the wish to pause: that counts for no failure


def ended_alike(attempt: Attempt, reason: Reason) -> int:
    """Return how many attempts just before this one ended for that reason, none with a newer checkpoint."""
    count = 0
    for earlier in _unwished_before(attempt):
        if earlier.reason != reason or earlier.checkpoints:
            break
        count += 1
    return 0 if attempt.checkpoints else count


def no_further(attempt: Attempt) -> int:
    """Return how many attempts just before this one, whatever ended them, left no checkpoint of a good run."""
    if _came_further(attempt):
        return 0
    return sum(1 for _ in takewhile(lambda earlier: not _came_further(earlier), _unwished_before(attempt)))


def _came_further(attempt: Attempt) -> bool:
    began, over = attempt.running_at, attempt.stopped_running_at or attempt.ended_at or now()
    return bool(attempt.checkpoints) and began is not None and over - began >= FURTHER


def _unwished_before(attempt: Attempt) -> list[Attempt]:
    """Return the attempts before this one that nobody wished to pause, the latest first."""
    before = [a for a in attempt.training.attempts if a.number < attempt.number and not a.evidence.get(SUSPENDED)]
    return before[::-1]


def judge(attempt: Attempt, evidence: Evidence) -> Verdict:
    """Return the verdict on an attempt, from the evidence and what went before it."""
    training = attempt.training
    failed_already = training.state == TrainingState.FAIL_TRAIN_IN_PROGRESS
    wish = Wish.NONE if failed_already else Wish(training.wish)
    if failed_already and training.reason:
        return Verdict(TrainingState.FAIL_TRAIN, Reason(training.reason), training.message)
    if training.state == TrainingState.STOP_IN_PROGRESS and training.reason:  # whatever became of its run since
        return Verdict(TrainingState.STOPPED, Reason(training.reason), training.message)
    alike = ended_alike(attempt, explain(evidence)[0])
    return decide(evidence, wish, ended_alike=alike, no_further=no_further(attempt))


def known(attempt: Attempt, evidence: Evidence) -> dict[str, Any]:
    """Return all that is known of an attempt's end: what it told when its script ended, and what was seen since."""
    told, seen = attempt.evidence, evidence.to_json()
    # Nobody saw the end of one that fell silent: what it told before is nearest to it.
    return seen | told if evidence.cause == Cause.LOST else told | seen


def refuse(session: Session, attempt: Attempt, message: str) -> None:
    """End an attempt that can never begin: its training is CREATE_FAILED, or what was decided of it already."""
    if attempt.training.state == TrainingState.CREATE_IN_PROGRESS:
        to, evidence = TrainingState.CREATE_FAILED, Evidence(Cause.PLATFORM, error=message)
        verbs.end(session, attempt, to, reason=Reason.PLATFORM, message=message, evidence=evidence.to_json())
    else:
        close(session, attempt, Evidence(Cause.PLATFORM, error=message))


def close(session: Session, attempt: Attempt, evidence: Evidence) -> Verdict:
    """End the attempt by its verdict; one that is tried again waits a little first."""
    verdict = judge(attempt, evidence)
    training = attempt.training
    if verdict.state == TrainingState.CREATE_IN_PROGRESS and training.wish != Wish.SUSPEND:
        tries = ended_alike(attempt, Reason(verdict.reason)) if verdict.reason else 0
        wait = BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS) - 1)]
        training.retry_at = now() + timedelta(seconds=wait)
    verbs.end(
        session,
        attempt,
        verdict.state,
        reason=verdict.reason,
        message=verdict.message,
        evidence=known(attempt, evidence) | ({SUSPENDED: True} if training.wish == Wish.SUSPEND else {}),
    )
    return verdict
