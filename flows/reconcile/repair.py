"""Put right what was found: each repair can be done twice, and one that fails is found again."""

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.errors import PrefectAway
from blocks.pools.runs import Runs
from blocks.records import attempt as verbs
from blocks.records import experiments, trainings
from blocks.records.tables import Attempt, now
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState, Reason, TrainingState, Wish
from flows.reconcile.findings import Finding, Repair, Seen, find
from flows.training import attempts
from flows.training.assignment import work_folder
from flows.training.verdict import Cause, Evidence

KILL_GRACE_SECONDS = 25
CREATION = timedelta(minutes=5)

log = structlog.get_logger("reconcile")


def look(platform: Platform, runs: Runs) -> list[Seen]:
    """Look at every open attempt, and at the ended ones that still have processes here."""
    alive = processes.running()
    with platform.records.reading() as session:
        rows = list(verbs.open_attempts(session))
        strays = [session.get(Attempt, attempt_id) for attempt_id in alive if attempt_id not in {r.id for r in rows}]
        rows += [row for row in strays if row is not None]
    return [_see(row, len(alive.get(row.id, [])), runs) for row in rows]


def _see(row: Attempt, live: int, runs: Runs) -> Seen:
    try:
        observed = runs.observe(row.flow_run_id) if row.flow_run_id else None
    except PrefectAway:
        observed = None  # a lease that has run out is told by the records alone
    return Seen(
        attempt_id=row.id,
        open=row.ended_at is None,
        claimed=bool(row.token_hash),
        granted_at=row.granted_at,
        beat_at=row.beat_at,
        run=observed.state if observed else "",
        processes=live,
        wish_is_stop=row.training.wish == Wish.STOP,
    )


def reconcile(
    platform: Platform, runs: Runs, *, dry_run: bool = False, listening_since: datetime | None = None
) -> Sequence[Finding]:
    """Find what differs and, unless it is a dry run, put it right. Returns the findings.

    Args:
        platform: whose records.
        runs: whose runs.
        dry_run: only look.
        listening_since: since when instances can be heard; None where that is not known.
    """
    looked_at = now()  # before Prefect is asked, which may take longer than a lease
    found = find(look(platform, runs), looked_at, listening_since)
    if dry_run:
        return found
    for finding in found:
        try:
            repair(platform, runs, finding)
        except Exception:
            # One that cannot be repaired must not keep the others from it; it is found again.
            log.exception("not repaired", attempt=finding.attempt_id, repair=finding.repair, what=finding.what)
    tidy(platform)
    close_stale_creations(platform)
    return found


def close_stale_creations(platform: Platform) -> list[str]:
    """Fail the creations of experiments whose flow died on the way, so that they can be retried; returns their ids."""
    with platform.records.writing() as session:
        stale = experiments.being_created_since(session, now() - CREATION)
        for row in stale:
            message = "Its creation was interrupted; `emf experiment retry` goes on with it."
            transition(session, row, ExperimentState.CREATE_FAILED, reason=Reason.INTERRUPTED, message=message)
        return [row.id for row in stale]


def repair(platform: Platform, runs: Runs, finding: Finding) -> None:
    """Do what one finding asks for."""
    if finding.repair == Repair.KILL:
        processes.end(finding.attempt_id, KILL_GRACE_SECONDS)
    elif finding.repair == Repair.STOP:
        _wish_stop(platform, finding.attempt_id)
    elif finding.repair == Repair.END:
        _end(platform, runs, finding)
    elif finding.repair == Repair.CLOSE_RUN:
        _close_run(platform, runs, finding.attempt_id)


def _wish_stop(platform: Platform, attempt_id: str) -> None:
    with platform.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        if row is not None and row.ended_at is None:
            trainings.wish_stop(session, row.training)


def _end(platform: Platform, runs: Runs, finding: Finding) -> None:
    # First the record (from here the attempt is fenced), then the world.
    with platform.records.writing() as session:
        row = session.get(Attempt, finding.attempt_id)
        if row is None or row.ended_at is not None:
            return
        if row.running_at and row.stopped_running_at is None:
            row.stopped_running_at = max(row.running_at, row.beat_at or row.running_at)  # when it was last heard of
        verdict = attempts.close(session, row, Evidence(finding.cause or Cause.LOST, error=finding.what))
        flow_run_id = row.flow_run_id
    processes.end(finding.attempt_id, KILL_GRACE_SECONDS)
    if flow_run_id:
        observed = runs.observe(flow_run_id)
        if observed is not None and not observed.is_over:
            runs.close(flow_run_id, verdict.message, cancelled=verdict.state == TrainingState.STOPPED)


def _close_run(platform: Platform, runs: Runs, attempt_id: str) -> None:
    with platform.records.reading() as session:
        row = session.get(Attempt, attempt_id)
    if row is not None and row.flow_run_id:
        stopped = row.training.state == TrainingState.STOPPED
        runs.close(row.flow_run_id, row.message or "The attempt has ended.", cancelled=stopped)


def tidy(platform: Platform) -> list[str]:
    """Remove the folders of attempts that have ended or are unknown; returns their ids."""
    root = platform.settings.home / "work"
    if not root.is_dir():
        return []
    # Folders first: one that is made while we look belongs to an attempt that we then know.
    there = [folder.name for folder in root.iterdir() if folder.is_dir()]
    with platform.records.reading() as session:
        wanted = {row.id for row in verbs.open_attempts(session)}
    gone = [attempt_id for attempt_id in there if attempt_id not in wanted]
    for attempt_id in gone:
        shutil.rmtree(work_folder(platform.settings.home, attempt_id), ignore_errors=True)
    return gone
