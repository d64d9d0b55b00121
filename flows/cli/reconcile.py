"""`emf reconcile`."""

from typing import Annotated

import typer

from flows.cli.output import AsJson, print_json, print_table


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the records with the world, and put right what differs."""
    from flows import api

    found = api.reconcile(dry_run=dry_run)
    if as_json:
        return print_json(found)
    return print_table(("attempt", "repair", "what"), [(f["attempt"], f["repair"], f["what"]) for f in found])
