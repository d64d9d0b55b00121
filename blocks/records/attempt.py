"""The few verbs of an instance: claim, beat, run, stage out, end. Called by the controller for its callers.

An attempt is one try on one lease. Whoever claims it brings a token of its own making, which from then on is the
fence: an attempt that was given up, or has ended, answers nothing but `Fenced`.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, lazyload

from blocks.records.errors import ClaimedTwice, Fenced, NotAllowed
from blocks.records.tables import Attempt, Training, now
from blocks.records.transitions import allowed, note, transition
from blocks.records.words import Phase, Reason, TrainingState, Wish

T = TrainingState


def grant(session: Session, training: Training, *, machine: str, memory_bytes: int, gpus: Sequence[str]) -> Attempt:
    """Write down the training's next attempt and the lease it holds, before anything is submitted for it."""
    number = len(training.attempts) + 1
    attempt = Attempt(
        id=f"{training.id}-a{number}",
        number=number,
        phase=Phase.GRANTED,
        machine=machine,
        memory_bytes=memory_bytes,
        gpus=list(gpus),
        beat_at=None,
    )
    training.attempts.append(attempt)
    session.flush()
    what = f", GPUs {', '.join(gpus)}" if gpus else ""
    note(session, training, f"Attempt {number} holds {memory_bytes / 2**30:.1f} GiB of memory{what}.")
    return attempt


def open_attempts(session: Session) -> Sequence[Attempt]:
    """Return the attempts that hold a lease, oldest first."""
    query = select(Attempt).where(Attempt.ended_at.is_(None)).order_by(Attempt.granted_at)
    return session.scalars(query).unique().all()


def submitted(attempt: Attempt, flow_run_id: str) -> None:
    """Note the run that was submitted for an attempt; a run that claimed it before keeps it."""
    if not attempt.flow_run_id:
        attempt.flow_run_id, attempt.submitted_at = flow_run_id, now()
        attempt.progress = ""  # what kept it from being submitted


def claim_code(secret: str, attempt_id: str) -> str:
    """Return the code that lets one run claim this attempt, once; the same after every restart."""
    return hmac.new(secret.encode(), attempt_id.encode(), sha256).hexdigest()


def claim(session: Session, attempt_id: str, token: str, flow_run_id: str) -> Attempt:
    """Bind an attempt to the run that calls. The same caller may call again; any other is fenced.

    Raises:
        ClaimedTwice: another run holds it.
        Fenced: it ended.
    """
    attempt = _open(session, attempt_id)
    if attempt.token_hash and attempt.token_hash != _hash(token):
        raise ClaimedTwice(f"The attempt {attempt_id} belongs to another run.")
    if not attempt.token_hash:
        attempt.token_hash, attempt.flow_run_id, attempt.phase = _hash(token), flow_run_id, Phase.STAGING_IN
        note(session, attempt.training, f"Attempt {attempt.number} started on {attempt.machine}.")
    attempt.beat_at = now()
    return attempt


def authenticate(session: Session, attempt_id: str, token: str) -> Attempt:
    """Return the open attempt that this token belongs to.

    Raises:
        Fenced: it ended, or the token is not its own.
    """
    attempt = _open(session, attempt_id)
    if not attempt.token_hash or not hmac.compare_digest(attempt.token_hash, _hash(token)):
        raise Fenced(f"This token is not that of the attempt {attempt_id}.")
    return attempt


def ended_alike_before(session: Session, attempt_id: str, token: str, evidence: dict[str, Any]) -> Attempt | None:
    """Return the attempt if its own holder ended it with this very evidence: the answer to that was lost."""
    attempt = session.get(Attempt, attempt_id)
    # What we noted beside its evidence does not make it another.
    if attempt is None or attempt.ended_at is None or not evidence.items() <= attempt.evidence.items():
        return None
    return attempt if hmac.compare_digest(attempt.token_hash, _hash(token)) else None


def beat(attempt: Attempt, progress: str) -> Wish:
    """Renew the lease, keep what it is doing, and answer what is wished of it."""
    attempt.beat_at = now()
    attempt.progress = progress[:255]
    return Wish(attempt.training.wish)


def run(session: Session, attempt: Attempt) -> None:
    """Note that the script has started: the maximum time counts from here."""
    if attempt.running_at is None:
        attempt.running_at, attempt.phase = now(), Phase.RUNNING
        if attempt.training.state == T.CREATE_IN_PROGRESS:
            transition(session, attempt.training, T.RUNNING)


def ran(attempt: Attempt, seconds: float) -> None:
    """Keep for how long its script has run, by the instance's own steady clock: the most that was told."""
    attempt.ran_seconds = max(attempt.ran_seconds or 0.0, seconds)


def stage_out(
    session: Session,
    attempt: Attempt,
    to: TrainingState | None,
    *,
    reason: Reason | None,
    message: str,
    evidence: dict[str, Any],
) -> None:
    """Note that the script has ended, how, and that what it left is being put in its places.

    `to` is the state that tells of it; None where the training is to be tried again.
    """
    attempt.evidence = evidence  # all that is known of the script, should its run not live to tell its end
    if _has_run(evidence):
        run(session, attempt)
    if attempt.running_at and attempt.stopped_running_at is None:
        attempt.stopped_running_at = now()
    attempt.phase = Phase.STAGING_OUT
    if to and attempt.training.state != to and allowed("training", attempt.training.state, to):
        transition(session, attempt.training, to, reason=reason, message=message)


def end(
    session: Session,
    attempt: Attempt,
    to: TrainingState,
    *,
    reason: Reason | None,
    message: str,
    evidence: dict[str, Any],
) -> None:
    """End an attempt, give its lease back, and move the training to where the verdict says.

    `to` is COMPLETE, STOPPED, FAIL_TRAIN or CREATE_FAILED, or CREATE_IN_PROGRESS: it waits for its next attempt.
    """
    if _has_run(evidence):
        run(session, attempt)
    attempt.ended_at, attempt.phase, attempt.outcome = now(), Phase.ENDED, to
    attempt.reason, attempt.message, attempt.evidence = reason or "", message, evidence
    training = attempt.training
    if training.state == to == T.CREATE_IN_PROGRESS:
        note(session, training, f"Attempt {attempt.number} ended: {message}", reason=reason)
        return
    for step in _way(training.state, to):
        transition(session, training, step, reason=reason, message=message, evidence=evidence)


def _has_run(evidence: dict[str, Any]) -> bool:
    """Say whether the evidence tells how a script ended: then it ran, also where nobody was there to hear of it.

    Of an attempt that was lost an engine may tell how all of it ended, its script or what stood before that.
    """
    return evidence.get("cause") != "lost" and not evidence.keys().isdisjoint({"exit_code", "signal"})


def _way(state: str, to: TrainingState) -> Sequence[TrainingState]:
    """Return the states to pass on the way: an end may be told before its own 'in progress' was."""
    between = {
        T.COMPLETE: T.COMPLETE_IN_PROGRESS,
        T.STOPPED: T.STOP_IN_PROGRESS,
        T.FAIL_TRAIN: T.FAIL_TRAIN_IN_PROGRESS,
    }
    if allowed("training", state, to):
        return [to]
    step = between.get(to)
    if step is None or not allowed("training", state, step):
        raise NotAllowed(f"A training that is {state} cannot end as {to}.")
    return [step, to]


def locked(session: Session, attempt_id: str) -> Attempt | None:
    """Return an attempt as it is by now, that nobody else changes before this transaction ends; nor its training.

    A verdict follows from both: a wish that came beside it would be overwritten. Who locks both locks the training
    first, or two could wait for each other.
    """
    if session.get_bind().dialect.name != "sqlite":  # there who writes has locked everything
        its_training = select(Attempt.training_id).where(Attempt.id == attempt_id).scalar_subquery()
        session.execute(select(Training.id).where(Training.id == its_training).with_for_update(key_share=True))
    # Asked at every beat, under the lock of all that write: what most calls do not need is loaded by those that do.
    alone = joinedload(Attempt.training).lazyload(Training.attempts), lazyload(Attempt.checkpoints)
    return session.get(Attempt, attempt_id, options=alone, with_for_update={"of": Attempt})


def _open(session: Session, attempt_id: str) -> Attempt:
    attempt = locked(session, attempt_id)
    if attempt is None or attempt.ended_at is not None:
        raise Fenced(f"The attempt {attempt_id} has ended or was given up; nothing it says counts any more.")
    return attempt


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
