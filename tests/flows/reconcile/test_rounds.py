"""A round as a whole: what it finds of all kinds, and that a dry run changes nothing."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from blocks.platform import Platform
from blocks.pools.environments import COMPLETE
from blocks.records import experiments
from blocks.records.tables import Attempt, Base, now
from blocks.records.words import TrainingState
from blocks.tracking.open_runs import OpenRun
from flows.reconcile import rounds
from flows.reconcile.alone import alone
from flows.reconcile.findings import Repair
from flows.reconcile.tidy import untidy
from tests.flows.reconcile.conftest import FakeRuns, Granted, left_long_ago, reconciled, repairs

T = TrainingState
GONE = "tr-bbbbbbbbbbbb"


def everything_wrong(here: Platform, runs: FakeRuns, granted: Granted, make: Callable[..., str], script: Any) -> None:
    """Make a difference of every kind, and something to tidy."""
    home, old = here.settings.home, time.time() - 2 * 86400
    script(granted(T.RUNNING, silent=16))
    granted(T.RUNNING, silent=1, run="CANCELLING")
    lost, released, shown = granted(), granted(T.RUNNING, silent=1), granted(silent=1)
    del runs.states_of[f"run-of-{lost}"]
    left_long_ago(here, shown)
    with here.records.writing() as session:
        session.get(Attempt, released).training.state = T.FAIL_TRAIN
        experiments.record(session, "old", "", {}).changed_at = now() - timedelta(minutes=6)
    script(f"{GONE}-a1")
    runs.attempts, runs.states_of["gone"] = {"gone": f"{GONE}-a1"}, "RUNNING"
    here.tracking.open["m"] = OpenRun("m", GONE, now() - timedelta(hours=2))
    for part in ("prefect", "mlflow"):
        script("", EMF_PART=part)
    environment = home / "environments" / "pytorch-0123456789ab"
    for folder in (home / "kept" / GONE, home / "logs" / "trainings" / GONE, environment):
        folder.mkdir(parents=True)
    for path in (environment / COMPLETE, environment, home / "kept" / GONE, home / "logs" / "trainings" / GONE):
        path.touch()
        os.utime(path, (old, old))
    (home / "work" / shown).mkdir(parents=True)


def state_of(here: Platform) -> tuple[dict[str, list[Any]], list[tuple[str, int, float]]]:
    """Return every row of the records, and every file of the platform's folder but the database's own."""
    with here.records.reading() as session:
        rows = {
            name: sorted(map(repr, session.execute(text(f"SELECT * FROM {name}")))) for name in Base.metadata.tables
        }
    files = [one for one in sorted(here.settings.home.rglob("*")) if not one.name.startswith("records.db")]
    return rows, [(str(one), one.stat().st_size, one.stat().st_mtime) for one in files]


def test_a_dry_run_tells_everything_and_changes_nothing(
    here: Platform, runs: FakeRuns, granted: Granted, make: Callable[..., str], script: Any
):
    """Findings of every kind; no record, no file, no process, no run is touched. What comes after it does the same."""
    everything_wrong(here, runs, granted, make, script)
    before, states, open_runs = state_of(here), dict(runs.states_of), dict(here.tracking.open)
    report = reconciled(here, runs, thorough=True, dry_run=True)
    told = [*report.found, *untidy(here)]
    assert {one.repair for one in told} == set(Repair)
    assert report.unseen == []
    assert state_of(here) == before
    assert (runs.states_of, runs.closed, here.tracking.open) == (states, {}, open_runs)
    assert repairs(reconciled(here, runs, thorough=True)) == {one.subject: one.repair for one in report.found}
    again = reconciled(here, runs, thorough=True).found
    assert [one for one in again if one.repair not in (Repair.KILL, Repair.ASK)] == []


def test_how_a_round_went_is_told(here: Platform, runs: FakeRuns, granted: Granted):
    """When it began, how long it took, and at how many attempts it looked."""
    began = now()
    for _ in range(3):
        granted(silent=1)
    report = reconciled(here, runs)
    assert began <= report.at <= now()
    assert 0 < report.seconds < 60
    assert report.attempts == 3
    assert report.as_dict() == {
        "at": report.at.isoformat(),
        "seconds": round(report.seconds, 2),
        "attempts": 3,
        "found": [],
        "failed": [],
        "unseen": [],
    }


def test_two_do_not_clear_up_at_once(here: Platform, runs: FakeRuns, monkeypatch: Any):
    """Who waits for another in vain says so; a dry run waits for nobody."""
    monkeypatch.setattr(rounds, "WAIT_SECONDS", 0.1)
    folder = here.settings.home / "logs" / "trainings" / GONE
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    with alone(here.settings.home / "reconcile.lock"):
        report = reconciled(here, runs, thorough=True)
        assert len(report.unseen) == 4
        assert all("another round" in one for one in report.unseen)
        assert folder.is_dir()
        assert len(reconciled(here, runs, thorough=True, dry_run=True).found) == 1
    assert len(reconciled(here, runs, thorough=True).found) == 1
    assert not folder.is_dir()


def test_a_look_that_fails_holds_up_no_other(here: Platform, runs: FakeRuns, tmp_path: Path, monkeypatch: Any):
    """Whatever the fault, it is named, and the rest is looked at."""
    monkeypatch.setattr(rounds.litter, "of_nobody", lambda _platform: 1 / 0)
    environment = here.settings.home / "environments" / "pytorch-0123456789ab"
    environment.mkdir(parents=True)
    os.utime(environment, (0, 0))
    report = reconciled(here, runs, thorough=True)
    assert report.unseen == ["folders: division by zero"]
    assert [one.subject for one in report.found] == [str(environment)]
