"""Prefect's runs as reconcile asks for them, kept in memory; and real processes that carry an attempt's mark."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from blocks.pools.errors import PrefectAway
from blocks.pools.processes import MARK
from blocks.pools.runs import Observed
from flows.reconcile.findings import OVER

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


class FakeRuns:
    """What Prefect knows of runs; it can be away."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.closed: dict[str, tuple[str, bool]] = {}
        self.observed: list[str] = []
        self.is_away = False

    def unfinished(self) -> dict[str, Observed]:
        if self.is_away:
            raise PrefectAway("Prefect's server does not answer.")
        return {run: Observed(state, "") for run, state in self.states.items() if state not in OVER}

    def observe(self, flow_run_id: str) -> Observed | None:
        if self.is_away:
            raise PrefectAway("Prefect's server does not answer.")
        self.observed.append(flow_run_id)
        state = self.states.get(flow_run_id)
        return Observed(state, "") if state else None

    def close(self, flow_run_id: str, message: str, *, cancelled: bool) -> None:
        if self.is_away:
            raise PrefectAway("Prefect's server does not answer.")
        self.closed[flow_run_id] = (message, cancelled)
        self.states[flow_run_id] = "CANCELLED" if cancelled else "CRASHED"


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
