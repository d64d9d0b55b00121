"""The scheduled backstop behind the controller, and the dry run for people."""

from typing import Any

from blocks.platform import Platform
from blocks.pools.runs import Runs
from flows.control import control_flow, show, verb
from flows.markdown import cell, rows
from flows.reconcile import repair


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
    found = repair.reconcile(platform, Runs(), dry_run=dry_run)
    return [{"attempt": f.attempt_id, "repair": f.repair.value, "what": f.what} for f in found]
