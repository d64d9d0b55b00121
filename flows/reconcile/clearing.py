"""What takes long about attempts that have ended: processes are ended, runs in Prefect closed.

It is done aside, so that the next death is found meanwhile. Prefect may take minutes to refuse one run: after the first
that it does not answer for, the others are left to a later look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.errors import PrefectAway
from blocks.pools.runs import Runs
from blocks.records import survey
from blocks.records.tables import Attempt
from blocks.records.words import TrainingState
from flows.reconcile.alone import alone
from flows.reconcile.difference import Failure, guarded, write_down
from flows.reconcile.findings import Finding

KILL_GRACE_SECONDS = 25
WAIT_SECONDS = 60.0  # for others that end processes: their grace, and what they take to be killed

log = structlog.get_logger("reconcile")


@dataclass(frozen=True)
class Left:
    """What an attempt that was ended leaves in the world, and what its run in Prefect is told."""

    attempt_id: str
    flow_run_id: str
    message: str
    is_stopped: bool


def left_by(row: Attempt) -> Left:
    """Return what an attempt that has ended leaves."""
    message = row.message or "The attempt has ended."
    return Left(row.id, row.flow_run_id, message, row.outcome == TrainingState.STOPPED)


def clear_away(platform: Platform, runs: Runs, left: Sequence[Left]) -> None:
    """End the processes of attempts that were just ended, and close their runs; what fails is found later."""
    home = platform.settings.home
    with alone(home / "ending.lock", within=WAIT_SECONDS) as mine:
        if mine:
            processes.end([one.attempt_id for one in left], home, KILL_GRACE_SECONDS)
    for one in left:
        try:
            _close(runs, one)
        except BlockError as error:
            log.warning("a run is closed later", run=one.flow_run_id, error=str(error))
            if isinstance(error, PrefectAway):
                return


def end_processes(platform: Platform, strays: Sequence[Finding], failed: list[Failure]) -> None:
    """End processes that nobody wants, unless that is being done: a look in the meantime finds them as well."""
    home = platform.settings.home
    with alone(home / "ending.lock") as mine:
        if not mine:
            return
        there = processes.running(home)  # by now
        strays = [one for one in strays if one.subject in there]
        alive = processes.end([one.subject for one in strays], home, KILL_GRACE_SECONDS)
    for one in strays:
        if one.subject in alive:
            log.warning("processes live on after SIGKILL", attempt=one.subject)
            failed.append(Failure(one, "they live on after SIGKILL; end them by hand, or restart the machine"))
            continue
        with platform.records.writing() as session:
            write_down(session, one)


def close_runs(platform: Platform, runs: Runs, found: Sequence[Finding], failed: list[Failure]) -> None:
    """Close the runs of attempts that have ended, unless that is being done."""
    with alone(platform.settings.home / "closing.lock") as mine:
        if not mine:
            return
        away = ""
        for finding in found:
            if away:
                failed.append(Failure(finding, away))
                continue
            with guarded(platform, finding, failed):
                try:
                    _close_run(platform, runs, finding)
                except PrefectAway as error:
                    away = str(error)
                    raise


def _close_run(platform: Platform, runs: Runs, finding: Finding) -> None:
    with platform.records.reading() as session:
        row = session.get(Attempt, finding.subject)
    if row is None:
        return
    is_closed = _close(runs, left_by(row))
    with platform.records.writing() as session:
        if survey.runs_are_over(session, [row.id]) and is_closed:
            write_down(session, finding)


def _close(runs: Runs, left: Left) -> bool:
    """Close the run of an attempt that has ended; returns whether that was still to be done."""
    observed = runs.observe(left.flow_run_id)
    if observed is None or observed.is_over:
        return False
    # One that a person cancelled stays so: a look may have to see it yet, for it is the wish to stop.
    runs.close(left.flow_run_id, left.message, cancelled=left.is_stopped or observed.state == "CANCELLING")
    return True
