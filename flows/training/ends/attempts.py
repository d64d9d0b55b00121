"""Where evidence meets the records: judge an attempt by what went before it, and close it."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from blocks.records import attempt as verbs
from blocks.records.tables import Attempt, now
from blocks.records.words import Reason, TrainingState, Wish
from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.retries import JITTER, Ended
from flows.training.ends.verdict import Verdict, decide

SUSPENDED = "suspended"  # in the evidence of an attempt that obeyed the wish to pause: that counts for no failure


def history(attempt: Attempt) -> list[Ended]:
    """Return what the attempts before this one ended for, the first one first, and which committed a checkpoint."""
    return [_ended(earlier) for earlier in attempt.training.attempts if earlier.number < attempt.number]


def _ended(attempt: Attempt) -> Ended:
    counts = attempt.reason and not attempt.evidence.get(SUSPENDED)
    return Ended(Reason(attempt.reason) if counts else None, committed=attempt.commits > 0)


def judge(attempt: Attempt, evidence: Evidence) -> Verdict:
    """Return the verdict on an attempt, from the evidence and what went before it."""
    training = attempt.training
    failed_already = training.state == TrainingState.FAIL_TRAIN_IN_PROGRESS
    wish = Wish.NONE if failed_already else Wish(training.wish)
    if failed_already and training.reason:
        return Verdict(TrainingState.FAIL_TRAIN, Reason(training.reason), training.message)
    if training.state == TrainingState.STOP_IN_PROGRESS and training.reason:  # whatever became of its run since
        return Verdict(TrainingState.STOPPED, Reason(training.reason), training.message)
    keeps = bool(training.request["checkpoint_path"])
    verdict = decide(in_phase(attempt, evidence), wish, history(attempt), committed=attempt.commits > 0, keeps=keeps)
    return _with_what_is_kept(verdict, attempt, evidence)


def _with_what_is_kept(verdict: Verdict, attempt: Attempt, evidence: Evidence) -> Verdict:
    """Say where the model is of a script that ended well, where nobody else tells it and nobody will put it away."""
    if verdict.state != TrainingState.FAIL_TRAIN or evidence.cause == Cause.OUTPUT:
        return verdict
    if attempt.evidence.get("exit_code") != 0:
        return verdict
    where = f"EMF_HOME/kept/{attempt.training_id}/model"
    kept = f"Its script had ended with exit code 0: what it made is kept in {where} until the training is deleted."
    return replace(verdict, message=f"{verdict.message} {kept}")


def in_phase(attempt: Attempt, evidence: Evidence) -> Evidence:
    """Return the evidence with how far the attempt had come, unless its script ended by itself: that tells it."""
    if evidence.phase or evidence.cause == Cause.EXIT:
        return evidence
    was_told = attempt.evidence.get("cause") == evidence.cause  # of its script, before what that left was put away
    return replace(evidence, phase=attempt.evidence.get("phase", "") if was_told else attempt.phase)


def known(attempt: Attempt, evidence: Evidence) -> dict[str, Any]:
    """Return all that is known of an attempt's end: what it told when its script ended, and what was seen since."""
    told, seen = attempt.evidence, in_phase(attempt, evidence).to_json()
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
    """End the attempt by its verdict; one that is tried again waits first, a little longer than is said."""
    verdict = judge(attempt, evidence)
    training = attempt.training
    if verdict.after_seconds:
        jitter = random.uniform(1, 1 + JITTER)  # noqa: S311 (nobody gains by guessing it)
        training.retry_at = now() + timedelta(seconds=verdict.after_seconds * jitter)
    verbs.end(
        session,
        attempt,
        verdict.state,
        reason=verdict.reason,
        message=verdict.message,
        evidence=known(attempt, evidence) | ({SUSPENDED: True} if training.wish == Wish.SUSPEND else {}),
    )
    return verdict
