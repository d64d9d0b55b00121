"""Reconcile on Prefect's pages: the board, kept current by the controller, and the page of one round."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flows.forms import Forms
from flows.markdown import cell, moment, rows, whole
from flows.reconcile.report import Line, done, left

KEY = "reconcile"
DESCRIPTION = "What was put right last, and how the last look went"


def table(repaired: Sequence[Line], looks: Mapping[str, dict[str, Any]], forms: Forms) -> str:
    """Return the board: how the last rounds went, and the last repairs, newest first.

    Args:
        repaired: the last repairs.
        looks: rounds, each as its report's dict, by what it is; none before the first.
        forms: what makes links.
    """
    dry_run = forms.link("what differs now", "reconcile", {"dry_run": True})
    went = "\n\n".join(_went(report, which) for which, report in looks.items())
    went = went or "*The controller has not looked yet.*"
    return f"## Reconcile\n\n{went}\n\n{dry_run}\n\n### Put right last\n\n{_repaired(repaired, forms)}\n"


def page(report: dict[str, Any], repaired: Sequence[Line], forms: Forms, *, dry_run: bool) -> str:
    """Return the page of one round: what it found, and what was put right last."""
    head = "Would be put right" if dry_run else "Put right"
    lines = [(_subject(one, forms), one["repair"], cell(one["what"])) for one in done(report)]
    found = (
        rows(("subject", "repair", "what differs"), lines)
        if lines
        else "*Nothing.*"
        if report["found"]
        else "*Nothing differs.*"
    )
    last = f"### Put right last\n\n{_repaired(repaired, forms)}\n"
    return f"## {head}\n\n{found}\n\n{_went(report)}\n\n{last}"


def summary(report: dict[str, Any]) -> str:
    """Return how a round went, as one line."""
    count = report["attempts"]
    looked = f"{count} attempt{'' if count == 1 else 's'} looked at in {report['seconds']:.2f} s"
    return f"{datetime.fromisoformat(report['at']):%Y-%m-%d %H:%M:%S} UTC: {looked}"


def _went(report: dict[str, Any], which: str = "Last look") -> str:
    told = "".join(f"\n- **{matter}**: {cell(one)}" for matter, one in left(report))
    return f"{which}: {summary(report)}{told}"


def _repaired(lines: Sequence[Line], forms: Forms) -> str:
    if not lines:
        return "*Nothing yet.*"
    body = [(whole(moment(one["time"])), _subject(one, forms), one["repair"], cell(one["what"])) for one in lines]
    return rows(("when (UTC)", "subject", "repair", "what differed"), body)


def _subject(line: Line, forms: Forms) -> str:
    shown = cell(line["subject"])
    return forms.link(shown, "show-training", {"training": line["training"]}) if line["training"] else shown
