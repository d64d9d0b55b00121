"""Runs that Prefect shows although nobody needs them any more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.pools.runs import Unfinished
from blocks.records import repairs as written
from blocks.records.survey import Glance
from blocks.records.words import TrainingState
from flows.reconcile.findings import EXIT, Repair
from flows.reconcile.hearing import Hearing
from flows.reconcile.shown import judged
from tests.flows.reconcile.conftest import Granted, left_long_ago, reconciled, repairs

T = TrainingState
NOW = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
HEARD = Hearing(NOW, NOW - timedelta(days=9), timedelta(seconds=15))
GONE = "tr-ffffffffffff-a1"


def glance(ended: timedelta | None, run: str = "another") -> Glance:
    ended_at = None if ended is None else NOW - ended
    return Glance("tr-1-a1", "tr-1", 1, T.RUNNING, "", "", run, "", NOW, None, None, ended_at, "cpu.small")


@pytest.mark.parametrize(
    ("attempt", "age", "is_found"),
    [
        (None, EXIT, True),  # its training was deleted
        (None, EXIT - MOMENT, False),  # made by hand a moment ago; it ends by itself
        (glance(None), EXIT * 9, False),
        (glance(None, run=""), EXIT * 9, False),  # its submission is not noted yet
        (glance(EXIT), EXIT * 9, True),
        (glance(EXIT - MOMENT), EXIT * 9, False),
        (glance(-timedelta(hours=3)), EXIT * 9, True),  # the clock was set back since
        (glance(EXIT, run="run"), EXIT * 9, False),  # looked at with its attempt
    ],
)
@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "SCHEDULED"])
def test_which_run_has_nothing_to_do(attempt: Glance | None, age: timedelta, is_found: bool, state: str):
    """One of an attempt that has ended, or is unknown, once it had time to end by itself."""
    finding = judged(Unfinished("run", state, "tr-1-a1", NOW - age), attempt, HEARD)
    assert (finding is not None) == is_found
    if finding:
        assert (finding.subject, finding.repair) == ("run", Repair.CLOSE_RUN)
        assert finding.training_id == ("tr-1" if attempt else "")
        assert f"as {state}" in finding.what


def test_runs_of_nobody_are_closed(here: Platform, granted: Granted, runs: Any, script: Any):
    """Of attempts that are unknown or have ended; of open ones, and of somebody else's flow, none is touched."""
    script("", EMF_PART="prefect")
    alive, ended = granted(T.RUNNING, silent=1), granted(silent=1, run="COMPLETED")
    left_long_ago(here, ended)
    of = {"gone": GONE, "twin": ended, f"run-of-{alive}": alive, "theirs": "", "odd": "my-training-a1"}
    runs.attempts = of
    runs.states_of |= dict.fromkeys(("gone", "twin", "theirs", "odd"), "SCHEDULED")
    assert repairs(reconciled(here, runs)) == {}  # not with every look
    report = reconciled(here, runs, thorough=True)
    assert repairs(report) == {"gone": Repair.CLOSE_RUN, "twin": Repair.CLOSE_RUN}
    assert {run: cancelled for run, (_, cancelled) in runs.closed.items()} == {"gone": False, "twin": False}
    with here.records.reading() as session:
        assert {one.subject: one.training_id for one in written.newest(session, 9)} == {
            "gone": "",
            "twin": ended.removesuffix("-a1"),
        }


def test_another_platforms_prefect_is_not_touched(here: Platform, runs: Any, script: Any):
    """What answers may be that of a platform with the same ports: what our records do not know, its own may."""
    script("", EMF_PART="prefect", EMF_HOME="/elsewhere")
    runs.attempts, runs.states_of["gone"] = {"gone": GONE}, "RUNNING"
    assert repairs(reconciled(here, runs, thorough=True)) == {}
    assert runs.closed == {}


def test_a_training_that_was_stopped_has_a_cancelled_run(here: Platform, granted: Granted, runs: Any):
    """Prefect shows what became of it."""
    ended = granted(T.STOP_IN_PROGRESS, silent=1, run="CANCELLED")
    left_long_ago(here, ended, T.STOPPED)
    runs.attempts, runs.states_of["twin"] = {"twin": ended}, "PENDING"
    reconciled(here, runs, thorough=True)
    assert runs.closed["twin"][1] is True


def test_while_prefect_is_away_the_rest_is_looked_at(here: Platform, granted: Granted, runs: Any):
    """And it is said what was not."""
    runs.is_away = True
    dead = granted(T.RUNNING, silent=16)
    report = reconciled(here, runs, thorough=True)
    assert repairs(report) == {dead: Repair.END}
    assert [one.partition(":")[0] for one in report.unseen if "Prefect" in one] == [
        "runs in Prefect",
        "runs of nobody in Prefect",
    ]
