"""`emf reconcile`."""

from typing import Annotated, Any

import typer

from flows.cli.output import AsJson, console, print_json, print_table
from flows.markdown import moment

LINES = 20


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the records with the world, and put right what differs."""
    from flows import api

    report: Any = api.reconcile(dry_run=dry_run)
    return print_json(report) if as_json else _show(report, dry_run=dry_run)


def _show(report: dict[str, Any], *, dry_run: bool) -> None:
    from flows.reconcile.board import summary
    from flows.reconcile.report import done, left

    found = [(one["subject"], one["repair"], one["what"]) for one in done(report)]
    if found:
        print_table(("subject", "repair", "what differs"), found, "would be put right" if dry_run else "put right")
    else:
        console.print("There is nothing to put right." if report["found"] else "Nothing differs.")
    last = (
        []
        if dry_run
        else [(moment(one["time"]), one["subject"], one["repair"], one["what"]) for one in report["repaired"][:LINES]]
    )
    if last:
        print_table(("when (UTC)", "subject", "repair", "what differed"), last, "put right last")
    console.print()
    for matter, one in left(report):
        console.print(f"{matter.capitalize()}: {one}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(summary(report), highlight=False, soft_wrap=True)
