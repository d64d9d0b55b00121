"""The scheduled backstop behind the controller, and the dry run for people."""

from datetime import datetime
from typing import Any

import httpx

from blocks.platform import Platform
from blocks.pools.runs import Runs
from flows.control import control_flow, show, verb
from flows.forms import Forms
from flows.reconcile import board, rounds
from flows.reconcile.difference import Failure
from flows.reconcile.report import repaired
from flows.reconcile.tidy import tidy, untidy

HEALTH_SECONDS = 5.0


@control_flow("reconcile")
async def reconcile(dry_run: bool = False) -> dict[str, Any]:
    """Compare the records with the world and put right what differs. The controller does the same all the time.

    Args:
        dry_run: Only say what would be done.
    """
    platform = Platform()
    report = look_and_repair(platform, dry_run)
    last = repaired(platform)
    await show(board.page(report, last, Forms(platform.settings), dry_run=dry_run))
    return report | {"repaired": list(last)}


@verb
def look_and_repair(platform: Platform, dry_run: bool) -> dict[str, Any]:
    """Find, and unless it is a dry run, repair."""
    since = listening_since(platform.settings.controller_url)
    report = rounds.reconcile(platform, Runs(), dry_run=dry_run, thorough=True, listening_since=since)
    report.found += untidy(platform)
    if not dry_run:
        tidy(platform)
        later = "not yet: another keeps it just now, or its place is away; it is tried again"
        report.failed += [Failure(one, later) for one in untidy(platform) if one in report.found]
    return report.as_dict()


def listening_since(controller_url: str) -> datetime | None:
    """Ask the controller since when it hears instances; None where it does not answer: then nobody can be heard."""
    try:
        answer = httpx.get(f"{controller_url}/health", timeout=HEALTH_SECONDS, trust_env=False)
        return datetime.fromisoformat(answer.json()["listening_since"])  # also of one that is late with its rounds
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
