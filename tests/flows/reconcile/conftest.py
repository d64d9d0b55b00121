"""Prefect's runs as reconcile asks for them, kept in memory; and real processes that carry an attempt's mark."""

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from datetime import datetime

import pytest

from blocks.pools.errors import PrefectAway
from blocks.pools.processes import MARK
from blocks.pools.runs import Observed
from blocks.records.tables import now

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


class FakeRuns:
    """What Prefect knows of runs; it can be away."""

    def __init__(self) -> None:
        self.states_of: dict[str, str] = {}
        self.ended_at: dict[str, datetime] = {}
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

    def close(self, flow_run_id: str, message: str, *, cancelled: bool) -> None:
        self._answer()
        self.closed[flow_run_id] = (message, cancelled)
        self.states_of[flow_run_id] = "CANCELLED" if cancelled else "CRASHED"


@pytest.fixture
def runs() -> FakeRuns:
    return FakeRuns()


@pytest.fixture
def script() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a process of an attempt's script."""
    started: list[subprocess.Popen[str]] = []

    def go(attempt_id: str) -> subprocess.Popen[str]:
        environ = os.environ | {MARK: attempt_id}
        process = subprocess.Popen([sys.executable, "-c", SLEEP], env=environ, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield go
    for process in started:
        process.kill()
        process.wait(10)
