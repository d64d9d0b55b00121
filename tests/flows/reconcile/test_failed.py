"""A repair that fails is shown as what it is, wherever people look."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.errors import PrefectAway
from blocks.records import trainings
from blocks.records.words import TrainingState
from flows.reconcile import board, clearing, flow, litter
from flows.reconcile.flow import look_and_repair, reconcile
from flows.reconcile.report import done, left
from tests.flows.reconcile.conftest import Granted, all_written, left_long_ago, reconciled
from tests.flows.reconcile.test_litter import filled

T = TrainingState
FORMS: Any = SimpleNamespace(link=lambda text, *_rest: text)


@pytest.fixture
def refused(here: Platform, granted: Granted, runs: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """An ended attempt whose run Prefect shows as alive, and will not close."""
    attempt_id = granted(T.RUNNING, silent=1)
    left_long_ago(here, attempt_id)

    def close(*_given: Any, **_how: Any) -> None:
        raise PrefectAway("Prefect refuses to close it.")

    monkeypatch.setattr(runs, "close", close)
    return attempt_id


def events_of(here: Platform, attempt_id: str) -> list[str]:
    with here.records.reading() as session:
        return [one.message for one in trainings.events_of(session, "training", attempt_id.removesuffix("-a1"))]


def test_what_failed_is_not_shown_as_put_right(here: Platform, runs: Any, refused: str):
    """The report says why, page and board tell it apart, and nothing is written down as repaired."""
    report = reconciled(here, runs)
    assert [(one.finding.subject, one.why) for one in report.failed] == [(refused, "Prefect refuses to close it.")]
    told = report.as_dict()
    assert [one["subject"] for one in told["found"]] == [refused]
    assert done(told) == []
    ((matter, text),) = left(told)
    assert matter == "not put right"
    assert text.startswith(f"{refused} (close run): ")
    page = board.page(told, [], FORMS, dry_run=False)
    assert f"| {refused} |" not in page
    for shown in (page, board.table([], {"Last look": told}, FORMS)):
        assert f"- **not put right**: {refused} (close run)" in shown
        assert "Prefect refuses to close it." in shown
    assert all_written(here) == []


def test_its_training_is_told_once(here: Platform, runs: Any, refused: str):
    """However often it is tried again."""
    for _ in range(3):
        reconciled(here, runs)
    told = [one for one in events_of(here, refused) if "Could not" in one]
    assert told == ["Could not be put right (close run): Prefect refuses to close it."]


def test_a_dry_run_fails_in_nothing(here: Platform, runs: Any, refused: str):
    """It would be put right, as far as anybody knows."""
    report = reconciled(here, runs, dry_run=True)
    assert report.failed == []
    assert [one["subject"] for one in done(report.as_dict())] == [refused]


def test_what_an_error_carries_is_told_to_nobody(here: Platform, runs: Any, monkeypatch: pytest.MonkeyPatch):
    """Of one that is not of ours only the kind is told: its text may hold anything."""

    def remove(_folder: Any) -> bool:
        raise KeyError("hunter2")

    folder = filled(here.settings.home / "work" / "tr-ffffffffffff-a1")
    monkeypatch.setattr(litter, "_remove", remove)
    (failure,) = reconciled(here, runs, thorough=True).failed
    assert (failure.finding.subject, failure.why) == (str(folder), "KeyError; the log says more")


def test_processes_that_live_on_are_no_success(here: Platform, runs: Any, script: Any, monkeypatch: pytest.MonkeyPatch):
    """Also where they are ended aside, after the look is told."""
    script("tr-dddddddddddd-a1")
    monkeypatch.setattr(processes, "_signal", lambda _send: None)
    monkeypatch.setattr(processes, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(clearing, "KILL_GRACE_SECONDS", 0.1)
    works: list[Any] = []
    report = reconciled(here, runs, aside=works.append)
    assert report.failed == []
    works[0]()
    assert [one.finding.subject for one in report.failed] == ["tr-dddddddddddd-a1"]


def test_what_was_not_tidied_is_not_put_right(here: Platform, granted: Granted, runs: Any, monkeypatch: Any):
    """The scheduled flow leaves it to the next look, and says so."""
    attempt_id = granted(T.RUNNING, silent=1, run="COMPLETED")
    left_long_ago(here, attempt_id)
    (here.settings.home / "work" / attempt_id).mkdir(parents=True)
    pages: list[str] = []

    async def show(markdown: str) -> None:
        pages.append(markdown)

    for name, given in {
        "show": show,
        "Runs": lambda: runs,
        "Forms": lambda _settings: FORMS,
        "look_and_repair": look_and_repair.fn,
        "tidy": lambda _platform: [],
    }.items():
        monkeypatch.setattr(flow, name, given)
    answer = asyncio.run(reconcile.fn(False))
    assert [(one["subject"], one["repair"]) for one in answer["failed"]] == [(attempt_id, "tidy")]
    assert f"- **not put right**: {attempt_id} (tidy)" in pages[0]
