"""Attempts in the records, Prefect's runs as reconcile asks for them, and real processes that carry a mark."""

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.pools.errors import PrefectAway
from blocks.pools.processes import MARK
from blocks.pools.runs import Observed, Unfinished
from blocks.records import attempt as verbs
from blocks.records import repairs as written
from blocks.records import trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from blocks.run_states import OVER
from blocks.tracking.errors import Unreachable
from blocks.tracking.open_runs import OpenRun
from flows.reconcile.findings import Repair
from flows.reconcile.identity import FILE, disagreement
from flows.reconcile.report import Report
from flows.reconcile.rounds import reconcile

T = TrainingState
Granted = Callable[..., str]
SLEEP = "import time; print('up', flush=True); time.sleep(60)"


class FakeRuns:
    """What Prefect knows of runs; it can be away."""

    def __init__(self) -> None:
        self.states_of: dict[str, str] = {}
        self.ended_at: dict[str, datetime] = {}
        self.attempts: dict[str, str] = {}
        self.created_at: dict[str, datetime] = {}
        self.closed: dict[str, tuple[str, bool]] = {}
        self.asked: list[str] = []
        self.is_away = False

    def _answer(self) -> None:
        if self.is_away:
            raise PrefectAway("Prefect's server does not answer.")

    def cancelled(self, since: datetime) -> dict[str, Observed]:
        self._answer()
        return {
            run: Observed(state, "")
            for run, state in self.states_of.items()
            if state == "CANCELLING" or (state == "CANCELLED" and self.ended_at.get(run, now()) >= since)
        }

    def states(self, flow_run_ids: Collection[str]) -> dict[str, Observed]:
        self._answer()
        self.asked += flow_run_ids
        return {run: Observed(self.states_of[run], "") for run in flow_run_ids if run in self.states_of}

    def observe(self, flow_run_id: str) -> Observed | None:
        return self.states([flow_run_id]).get(flow_run_id)

    def unfinished(self) -> Iterator[list[Unfinished]]:
        self._answer()
        yield [
            Unfinished(run, state, self.attempts[run], self.created_at.get(run, now() - timedelta(hours=2)))
            for run, state in self.states_of.items()
            if state not in OVER and run in self.attempts
        ]

    def close(self, flow_run_id: str, message: str, *, cancelled: bool) -> None:
        self._answer()
        self.closed[flow_run_id] = (message, cancelled)
        self.states_of[flow_run_id] = "CANCELLED" if cancelled else "CRASHED"


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeTracking:
    """MLflow: the runs that are open."""

    def __init__(self) -> None:
        self.open: dict[str, OpenRun] = {}
        self.status: dict[str, str] = {}
        self.is_away = False

    def open_runs(self) -> Iterator[OpenRun]:
        if self.is_away:
            raise Unreachable("MLflow does not answer")
        yield from list(self.open.values())

    def end_run(self, run_id: str, status: str) -> None:
        del self.open[run_id]
        self.status[run_id] = status


@pytest.fixture(autouse=True)
def tracking(here: Platform) -> FakeTracking:
    """In place of whatever answers at the usual port of this machine: that may be a platform which lives."""
    found = FakeTracking()
    vars(here)["tracking"] = found
    return found


@pytest.fixture(autouse=True)
def platform_id(here: Platform) -> str:
    """The platform's id, which `emf up` has put into its folder while that was empty."""
    assert disagreement(here) == ""
    return (here.settings.home / FILE).read_text().strip()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs() -> FakeRuns:
    return FakeRuns()


@pytest.fixture
def script() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process of an attempt, with these variables beside its mark."""
    started: list[subprocess.Popen[str]] = []

    def go(attempt_id: str, **marks: str) -> subprocess.Popen[str]:
        environ = os.environ | {MARK: attempt_id} | marks
        process = subprocess.Popen([sys.executable, "-c", SLEEP], env=environ, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield go
    for process in started:
        process.kill()
        process.wait(10)


@pytest.fixture
def granted(here: Platform, make: Callable[..., str], runs: Any) -> Granted:
    """Grant an attempt to a training, with a run; `claimed` and silent for so many seconds, if asked."""

    def go(state: TrainingState = T.CREATE_IN_PROGRESS, *, silent: float | None = None, run: str = "RUNNING") -> str:
        training_id = make(state)
        with here.records.writing() as session:
            row = trainings.find(session, training_id)
            attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
            verbs.submitted(attempt, f"run-of-{attempt.id}")
            runs.states_of[attempt.flow_run_id] = run
            if silent is not None:
                verbs.claim(session, attempt.id, "token", attempt.flow_run_id)
                attempt.beat_at = now() - timedelta(seconds=silent)
            return attempt.id

    return go


def reconciled(here: Platform, runs: Any, **how: Any) -> Report:
    """Reconcile as a controller does that has listened for long."""
    return reconcile(here, runs, **{"listening_since": now() - timedelta(hours=2)} | how)


def left_long_ago(here: Platform, attempt_id: str, to: TrainingState = T.CREATE_IN_PROGRESS) -> None:
    """End an attempt, a minute ago."""
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.end(session, attempt, to, reason=None, message="", evidence={})
        attempt.ended_at = now() - timedelta(minutes=1)


def repairs(report: Report) -> dict[str, Repair]:
    """Return what was found, by its subject."""
    return {finding.subject: finding.repair for finding in report.found}


def all_written(here: Platform) -> list[tuple[str, str, str, str]]:
    """Return every repair: its subject, what was done, the training it concerns, and what differed."""
    with here.records.reading() as session:
        return [(one.subject, one.repair, one.training_id, one.what) for one in written.newest(session, 100)]
