"""One round of reconcile: what differs is found and, unless it is a dry run, put right.

The quick round looks at attempts, their processes and runs, and costs little: the controller goes it every two seconds.
The thorough one also looks at all that may have been left behind: runs, folders and environments of nobody.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial

import structlog

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.pools.runs import Runs
from blocks.records.tables import now
from flows.reconcile import creations, identity, litter, outdated, shown, stops, tracked
from flows.reconcile.alone import alone
from flows.reconcile.difference import Difference, Failure, put_right
from flows.reconcile.findings import Finding, find
from flows.reconcile.hearing import Hearing
from flows.reconcile.look import Prefect, look
from flows.reconcile.repair import Aside, Mending
from flows.reconcile.report import Report

WAIT_SECONDS = 60.0  # for another thorough round
Looks = dict[str, Callable[[], Iterable[Difference]]]

log = structlog.get_logger("reconcile")


def at_once(work: Callable[[], None]) -> None:
    """Do what takes long before anything else."""
    work()


def reconcile(
    platform: Platform,
    runs: Runs,
    *,
    dry_run: bool = False,
    thorough: bool = False,
    listening_since: datetime | None = None,
    aside: Aside = at_once,
) -> Report:
    """Find what differs and, unless it is a dry run, put it right.

    Args:
        platform: whose records.
        runs: whose runs.
        dry_run: only look.
        thorough: also look at what is long ago, and at all that may have been left behind.
        listening_since: since when instances can be heard; None: they cannot, so none is blamed for its silence.
        aside: how what takes long is done: the end of processes.
    """
    report, began = Report(now()), time.monotonic()
    lease = timedelta(seconds=platform.settings.lease_seconds)
    hearing = Hearing(report.at, listening_since, lease)  # before Prefect is asked, which may take longer than a lease
    strange = identity.disagreement(platform, take=not dry_run)
    prefect, mending = Prefect(runs), Mending(platform, runs, hearing, aside, report.failed)
    for page in look(platform, prefect, hearing, thorough=thorough, unknown=not strange):
        found = find(page, hearing.at(now()))
        report.attempts += len(page)
        report.found += found
        if not dry_run:
            mending.mend(page, found)
    if prefect.away:
        report.unseen.append(f"runs in Prefect: {prefect.away}")
    for differences in (creations.interrupted(platform, hearing), stops.unheeded(platform)):
        report.found += put_right(platform, differences, report.failed, dry_run=dry_run)
    if strange:
        report.unseen.append(f"what nobody wants: {strange}")
    elif thorough:
        _clear_up(platform, _thorough(platform, runs, hearing), report, dry_run=dry_run)
    report.seconds = time.monotonic() - began
    return report


def _thorough(platform: Platform, runs: Runs, hearing: Hearing) -> Looks:
    return {
        "runs of nobody in Prefect": partial(shown.of_nobody, platform, runs, hearing),
        "runs in MLflow": partial(tracked.ended_unseen, platform, hearing),
        "folders": partial(litter.of_nobody, platform),
        "environments": partial(outdated.environments_of_nobody, platform),
    }


def _clear_up(platform: Platform, looks: Looks, report: Report, *, dry_run: bool) -> None:
    """Look at what may have been left behind; only one does it at a time, and one that looks only holds up nobody."""
    for what, differences in looks.items():
        try:
            for finding in _alone(platform, differences, report.failed, dry_run=dry_run):
                report.found.append(finding)
        except BlockError as error:
            log.warning("not looked at", what=what, error=str(error))
            report.unseen.append(f"{what}: {error}")
        except Exception as error:
            # What cannot be looked at must not keep the rest from it.
            log.exception("not looked at", what=what)
            report.unseen.append(f"{what}: {error}")


def _alone(
    platform: Platform, differences: Callable[[], Iterable[Difference]], failed: list[Failure], *, dry_run: bool
) -> Iterator[Finding]:
    if dry_run:
        yield from put_right(platform, differences(), failed, dry_run=True)
        return
    with alone(platform.settings.home / "reconcile.lock", within=WAIT_SECONDS) as mine:
        if not mine:
            raise BlockingIOError(f"another round has been at work for {WAIT_SECONDS:g} s")
        yield from put_right(platform, differences(), failed, dry_run=False)
