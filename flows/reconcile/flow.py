"""The scheduled backstop behind the controller, and the dry run for people."""

from datetime import datetime
from typing import Any

import httpx

from blocks.platform import Platform
from blocks.pools.runs import Runs
from flows.control import control_flow, show, verb
from flows.markdown import cell, rows
from flows.reconcile import repair
from flows.reconcile.tidy import tidy

HEALTH_SECONDS = 5.0


@control_flow("reconcile")
async def reconcile(dry_run: bool = False) -> list[dict[str, Any]]:
    """Compare the records with the world and put right what differs. The controller does the same all the time.

    Args:
        dry_run: Only say what would be done.
    """
    found = look_and_repair(Platform(), dry_run)
    lines = [(f["attempt"], f["repair"], cell(f["what"])) for f in found]
    listed = rows(("attempt", "repair", "what was found"), lines) if lines else "Nothing differs."
    await show(f"## {'Would be repaired' if dry_run else 'Repaired'}\n\n{listed}\n")
    return found


@verb
def look_and_repair(platform: Platform, dry_run: bool) -> list[dict[str, Any]]:
    """Find, and unless it is a dry run, repair."""
    since = listening_since(platform.settings.controller_url)
    found = repair.reconcile(platform, Runs(), dry_run=dry_run, thorough=True, listening_since=since)
    if not dry_run:
        tidy(platform)
    return [{"attempt": f.attempt_id, "repair": f.repair.value, "what": f.what} for f in found]


def listening_since(controller_url: str) -> datetime | None:
    """Ask the controller since when it hears instances; None where it does not answer: then nobody can be heard."""
    try:
        answer = httpx.get(f"{controller_url}/health", timeout=HEALTH_SECONDS, trust_env=False)
        return datetime.fromisoformat(answer.json()["listening_since"])  # also of one that is late with its rounds
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
