"""Put right what was found: each repair can be done twice, and one that fails is found again."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.runs import Runs
from blocks.records import experiments, survey, trainings
from blocks.records.survey import Glance
from blocks.records.tables import Attempt, now
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState, Reason, TrainingState
from flows.reconcile.findings import NO_RUN, OVER, Finding, Hearing, Repair, Seen, find
from flows.reconcile.look import look, see
from flows.training import attempts
from flows.training.verdict import Cause, Evidence

KILL_GRACE_SECONDS = 25
CREATION = timedelta(minutes=5)

Still = Callable[[Glance], Finding | None]
"""What is to be done about an attempt as it is in the records by now."""

log = structlog.get_logger("reconcile")


def reconcile(
    platform: Platform,
    runs: Runs,
    *,
    dry_run: bool = False,
    thorough: bool = False,
    listening_since: datetime | None = None,
) -> Sequence[Finding]:
    """Find what differs and, unless it is a dry run, put it right. Returns the findings.

    Args:
        platform: whose records.
        runs: whose runs.
        dry_run: only look.
        thorough: also look at what is long ago.
        listening_since: since when instances can be heard; None: they cannot, so none is blamed for its silence.
    """
    lease = timedelta(seconds=platform.settings.lease_seconds)
    hearing = Hearing(now(), listening_since, lease)  # before Prefect is asked, which may take longer than a lease
    found: list[Finding] = []
    for page in look(platform, runs, hearing, thorough=thorough):
        there = find(page, hearing)
        found += there
        if not dry_run:
            _repair_all(platform, runs, there, page, hearing)
    if not dry_run:
        close_stale_creations(platform)
    return found


def _repair_all(
    platform: Platform, runs: Runs, found: Sequence[Finding], page: Sequence[Seen], hearing: Hearing
) -> None:
    before = {one.attempt_id: one for one in page}

    def still(glance: Glance) -> Finding | None:
        was = before[glance.attempt_id]
        return next(
            iter(find([see(glance, {was.attempt_id: was.processes}, {was.flow_run_id: was.run})], hearing)), None
        )

    for finding in found:
        try:
            repair(platform, runs, finding, still)
        except Exception:
            # One that cannot be repaired must not keep the others from it; it is found again.
            log.exception("not repaired", attempt=finding.attempt_id, repair=finding.repair, what=finding.what)
    if over := [one.attempt_id for one in page if not one.open and one.run in OVER | {NO_RUN}]:
        with platform.records.writing() as session:
            survey.runs_are_over(session, over)


def close_stale_creations(platform: Platform) -> list[str]:
    """Fail the creations of experiments whose flow died on the way, so that they can be retried; returns their ids."""
    with platform.records.writing() as session:
        stale = experiments.being_created_since(session, now() - CREATION)
        for row in stale:
            message = "Its creation was interrupted; `emf experiment retry` goes on with it."
            transition(session, row, ExperimentState.CREATE_FAILED, reason=Reason.INTERRUPTED, message=message)
        return [row.id for row in stale]


def repair(platform: Platform, runs: Runs, finding: Finding, still: Still) -> None:
    """Do what one finding asks for."""
    if finding.repair == Repair.KILL:
        processes.end(finding.attempt_id, KILL_GRACE_SECONDS)
    elif finding.repair == Repair.STOP:
        _wish_stop(platform, finding.attempt_id)
    elif finding.repair == Repair.END:
        _end(platform, runs, finding.attempt_id, still)
    elif finding.repair == Repair.CLOSE_RUN:
        _close_run(platform, runs, finding.attempt_id)


def _wish_stop(platform: Platform, attempt_id: str) -> None:
    with platform.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        if row is not None and row.ended_at is None:
            trainings.wish_stop(session, row.training)


def _end(platform: Platform, runs: Runs, attempt_id: str, still: Still) -> None:
    # First the record (from here the attempt is fenced), then the world.
    with platform.records.writing() as session:
        row = session.get(Attempt, attempt_id, with_for_update={"of": Attempt})
        # Repairs before this one, or others that wrote, may have taken long: it may have been claimed or heard since.
        finding = next((still(one) for one in survey.among(session, [attempt_id])), None)
        if row is None or finding is None or finding.repair != Repair.END:
            return
        if row.running_at and row.stopped_running_at is None:
            row.stopped_running_at = max(row.running_at, row.beat_at or row.running_at)  # when it was last heard of
        verdict = attempts.close(session, row, Evidence(finding.cause or Cause.LOST, error=finding.what))
        flow_run_id = row.flow_run_id
    processes.end(attempt_id, KILL_GRACE_SECONDS)
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
        with platform.records.writing() as session:
            survey.runs_are_over(session, [attempt_id])
