"""`emf reconcile` in the terminal."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from blocks.platform import Platform

REPORT: dict[str, Any] = {
    "at": "2026-11-03T12:00:00+00:00",
    "seconds": 0.25,
    "attempts": 3,
    "found": [
        {"subject": "tr-1-a1", "training": "tr-1", "repair": "end", "what": "lost: [silent]"},
        {"subject": "/b", "training": "", "repair": "remove", "what": "nobody's"},
        {"subject": "/kept/c", "training": "", "repair": "for a person", "what": "look"},
    ],
    "failed": [{"subject": "/b", "training": "", "repair": "remove", "what": "nobody's", "why": "it is [open]"}],
    "unseen": ["runs in MLflow: [it] does not answer"],
    "repaired": [
        {"time": "2026-11-03T11:00:00+00:00", "subject": "/a", "training": "", "repair": "remove", "what": "nobody's"}
    ],
}

LAST = ["put right last", "when (UTC) subject repair what differed", "2026-11-03 11:00:00 /a remove nobody's"]


@pytest.fixture
def said(here: Platform, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say `emf reconcile` with options, where the flow answers so; returns what is printed, and what was asked for."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    from flows import api
    from flows.cli import app

    asked: list[bool] = []

    def go(answer: dict[str, Any], *options: str) -> tuple[str, list[bool]]:
        monkeypatch.setattr(api, "reconcile", lambda *, dry_run: asked.append(dry_run) or answer)
        found = CliRunner().invoke(app, ["reconcile", *options], catch_exceptions=False)
        assert found.exit_code == 0
        return found.output, asked

    return go


@pytest.mark.parametrize(("options", "title"), [((), "put right"), (("--dry-run",), "would be put right")])
def test_what_was_found_and_repaired_is_printed(said: Any, options: tuple[str, ...], title: str):
    """What differs, what was put right last (if anything is), what is left and why, how it went; brackets stay."""
    printed, asked = said(REPORT, *options)
    lines = [" ".join(line.split()) for line in printed.splitlines() if line]
    assert asked == [bool(options)]
    assert lines == [
        title,
        "subject repair what differs",
        "tr-1-a1 end lost: [silent]",
        *([] if options else LAST),
        "Not put right: /b (remove): nobody's; it is [open]",
        "For a person: /kept/c: look",
        "Not looked at: runs in MLflow: [it] does not answer",
        "2026-11-03 12:00:00 UTC: 3 attempts looked at in 0.25 s",
    ]


def test_where_nothing_differs(said: Any):
    """It says so, and how it looked."""
    printed, _ = said(REPORT | {"found": [], "failed": [], "repaired": [], "unseen": []})
    assert [line for line in printed.splitlines() if line] == [
        "Nothing differs.",
        "2026-11-03 12:00:00 UTC: 3 attempts looked at in 0.25 s",
    ]


def test_what_is_left_to_a_person_is_nothing_to_put_right(said: Any):
    """Nobody looks for a table that is not there."""
    left = [one for one in REPORT["found"] if one["repair"] == "for a person"]
    printed, _ = said(REPORT | {"found": left, "failed": []})
    assert printed.startswith("There is nothing to put right.")
    assert "For a person: /kept/c: look" in printed


def test_for_programs(said: Any):
    """All of it, as JSON."""
    printed, _ = said(REPORT, "--json")
    assert json.loads(printed) == REPORT
