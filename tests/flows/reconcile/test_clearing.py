"""What ended attempts leave in Prefect is closed beside the looks, and an ailing Prefect holds up none of them."""

from collections.abc import Callable
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.pools.errors import PrefectAway, RunRefused
from blocks.records.words import TrainingState
from flows.reconcile.alone import alone
from flows.reconcile.findings import Repair
from tests.flows.reconcile.conftest import Granted, all_written, left_long_ago, reconciled, repairs

T = TrainingState


@pytest.fixture
def shown(granted: Granted, here: Platform) -> list[str]:
    """Ended attempts whose runs Prefect shows as alive."""
    ids = [granted(silent=1) for _ in range(3)]
    for attempt_id in ids:
        left_long_ago(here, attempt_id)
    return sorted(ids)


@pytest.fixture
def asked(runs: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that Prefect was asked to close, of which it takes none."""
    found: list[str] = []

    def close(flow_run_id: str, *_given: Any, **_how: Any) -> None:
        found.append(flow_run_id)
        raise PrefectAway("503")

    monkeypatch.setattr(runs, "close", close)
    return found


def test_a_prefect_that_takes_no_writes_holds_up_no_look(
    here: Platform, runs: Any, shown: list[str], asked: list[str], granted: Granted
):
    """Runs are closed aside: a look ends before the first is, and the next finds the next death."""
    works: list[Callable[[], None]] = []
    assert repairs(reconciled(here, runs, aside=works.append)) == dict.fromkeys(shown, Repair.CLOSE_RUN)
    dead = granted(T.RUNNING, silent=16)
    assert repairs(reconciled(here, runs, aside=works.append))[dead] == Repair.END
    assert asked == []
    for work in works:
        work()
    assert asked


def test_after_the_first_that_prefect_does_not_answer_for_the_others_wait(
    here: Platform, runs: Any, shown: list[str], asked: list[str], monkeypatch: pytest.MonkeyPatch
):
    """It may take a minute for each: none is shown as put right, and a later look closes them all."""
    report = reconciled(here, runs)
    assert len(asked) == 1
    assert sorted((one.finding.subject, one.why) for one in report.failed) == [(one, "503") for one in shown]
    assert all_written(here) == []
    monkeypatch.undo()
    reconciled(here, runs)
    assert sorted(one[0] for one in all_written(here)) == shown


def test_a_run_that_prefect_refuses_to_close_holds_up_no_other(
    here: Platform, runs: Any, shown: list[str], monkeypatch: pytest.MonkeyPatch
):
    """That says nothing of the others."""
    close = runs.close

    def refuse_first(flow_run_id: str, *given: Any, **how: Any) -> None:
        if flow_run_id == f"run-of-{shown[0]}":
            raise RunRefused("422")
        close(flow_run_id, *given, **how)

    monkeypatch.setattr(runs, "close", refuse_first)
    reconciled(here, runs)
    assert sorted(runs.closed) == [f"run-of-{one}" for one in shown[1:]]


def test_what_is_being_closed_is_not_closed_twice(here: Platform, runs: Any, shown: list[str]):
    """A look while another one waits for Prefect finds it as well, and leaves it to that."""
    with alone(here.settings.home / "closing.lock"):
        assert repairs(reconciled(here, runs)) == dict.fromkeys(shown, Repair.CLOSE_RUN)
    assert runs.closed == {}


def test_runs_of_attempts_that_were_just_ended_wait_as_well(
    here: Platform, runs: Any, granted: Granted, asked: list[str]
):
    """Prefect is asked to close one, and the others once it answers."""
    for _ in range(3):
        granted(T.RUNNING, silent=16)
    reconciled(here, runs)
    assert len(asked) == 1
