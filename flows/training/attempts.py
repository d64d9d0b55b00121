"""Where evidence meets the records: judge an attempt by what went before it, and close it."""

from datetime import timedelta

from sqlalchemy.orm import Session

from blocks.records import attempt as verbs
from blocks.records.tables import Attempt, now
from blocks.records.words import Reason, TrainingState, Wish
from flows.training.verdict import Evidence, Verdict, decide, explain

BACK_OFF_SECONDS = (5, 30, 120)
SUSPENDED = "suspended"  # in the evidence of an attempt that obeyed the wish to pause: that counts for no failure


def ended_alike(attempt: Attempt, reason: Reason) -> int:
    """Return how many attempts just before this one ended for that reason, none with a newer checkpoint."""
    count = 0
    before = [a for a in attempt.training.attempts if a.number < attempt.number and not a.evidence.get(SUSPENDED)]
    for earlier in reversed(before):
        if earlier.reason != reason or earlier.checkpoints:
            break
        count += 1
    return 0 if attempt.checkpoints else count


def judge(attempt: Attempt, evidence: Evidence) -> Verdict:
    """Return the verdict on an attempt, from the evidence and what went before it."""
    training = attempt.training
    failed_already = training.state == TrainingState.FAIL_TRAIN_IN_PROGRESS
    wish = Wish.NONE if failed_already else Wish(training.wish)
    if failed_already and training.reason:
        return Verdict(TrainingState.FAIL_TRAIN, Reason(training.reason), training.message)
    if training.state == TrainingState.STOP_IN_PROGRESS and training.reason:  # whatever became of its run since
        return Verdict(TrainingState.STOPPED, Reason(training.reason), training.message)
    return decide(evidence, wish, ended_alike=ended_alike(attempt, explain(evidence)[0]))


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
        evidence=evidence.to_json() | ({SUSPENDED: True} if training.wish == Wish.SUSPEND else {}),
    )
    return verdict
