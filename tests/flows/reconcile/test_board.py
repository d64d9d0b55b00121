"""Reconcile on Prefect's pages."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import repairs, trainings
from blocks.records.words import TrainingState
from flows.reconcile import board
from flows.reconcile.findings import Finding, Repair
from flows.reconcile.report import Report, repaired
from flows.training.ends.verdict import Cause

AT = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
FORMS: Any = SimpleNamespace(link=lambda text, flow, filled=None: f"[{text}]({flow} {filled or ''})")


def line(**changes: str) -> dict[str, str]:
    given = {"time": AT.isoformat(), "subject": "tr-1-a1", "training": "tr-1", "repair": "end", "what": "lost: silent"}
    return given | changes


def test_the_last_repairs_and_the_last_look():
    """The newest first, as they come; a subject leads to its training where there is one."""
    lines = [line(), line(subject="a|folder", training="", repair="remove", what="nobody's")]
    text = board.table(lines, {"Last look": Report(AT, 0.5, 3, [], [], ["MLflow: away"]).as_dict()}, FORMS)
    rows = [one for one in text.splitlines() if one.startswith("| 2026")]
    assert len(rows) == 2
    assert "[tr-1-a1](show-training {'training': 'tr-1'}) | end | lost: silent" in rows[0]
    assert "| a&#124;folder | remove | nobody's" in rows[1]
    assert "2026-11-03 12:00:00 UTC: 3 attempts looked at in 0.50 s" in text
    assert "**not looked at**: MLflow: away" in text
    assert "[what differs now](reconcile {'dry_run': True})" in text


def test_before_the_first_look_and_the_first_repair():
    """The board says so."""
    text = board.table([], {}, FORMS)
    assert "has not looked yet" in text
    assert "Nothing yet" in text


@pytest.mark.parametrize(("dry_run", "head"), [(True, "## Would be put right"), (False, "## Put right")])
def test_the_page_of_a_round(dry_run: bool, head: str):
    """What it found, of all kinds, and the same as the board beside it."""
    findings = [Finding("tr-1-a1", Repair.END, "silent", "tr-1", Cause.LOST), Finding("/x", Repair.REMOVE, "nobody's")]
    report = Report(AT, 0.5, 1, findings).as_dict()
    text = board.page(report, [line(repair="close run")], FORMS, dry_run=dry_run)
    assert text.startswith(head)
    assert "| [tr-1-a1](show-training {'training': 'tr-1'}) | end | lost: silent |" in text
    assert "| /x | remove | nobody's |" in text
    assert "| close run |" in text
    assert "1 attempt looked at in 0.50 s" in text
    assert "Nothing differs" in board.page(Report(AT).as_dict(), [], FORMS, dry_run=dry_run)


def test_what_was_repaired_is_read(here: Platform, make: Any):
    """A training that was deleted is led to no more."""
    kept, gone = make(), make(TrainingState.STOPPED)
    with here.records.writing() as session:
        for training_id in (kept, gone, ""):
            repairs.write(session, f"{training_id}-a1", "end", "silent", training_id)
        trainings.forget(session, trainings.find(session, gone))
    found = repaired(here)
    assert [one["training"] for one in found] == ["", "", kept]
    assert [one["subject"] for one in found] == ["-a1", f"{gone}-a1", f"{kept}-a1"]
    assert len(repaired(here, 1)) == 1
