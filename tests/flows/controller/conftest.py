"""A controller's rounds over real records; only Prefect's and MLflow's sides are kept in memory."""

from collections.abc import Callable
from typing import Any

import pytest

from blocks.catalogue.catalogue import GIB, Gpu, Machine
from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.tables import Training
from flows.controller import leases as leasing
from flows.controller.leases import Leases
from flows.controller.watch import Watch
from tests.flows.reconcile.conftest import Clock

SECRET = "secret"


class FakeTracking:
    """MLflow: one run a training, its status, and its copies of descriptions and tags."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.status: dict[str, str] = {}
        self.copies: dict[str, tuple[str, dict[str, str], list[str]]] = {}
        self.fault: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def ensure_run(self, experiment_id: str, training_id: str, *_rest: Any) -> str:
        if self.fault:
            raise self.fault
        self.meanwhile()
        assert experiment_id == "7"
        return self.runs.setdefault(training_id, f"m-{len(self.runs)}")

    def end_run(self, run_id: str, status: str) -> None:
        if self.fault:
            raise self.fault
        self.status[run_id] = status

    def change_run(self, run_id: str, description: str, tags: dict[str, str], *, gone: list[str]) -> None:
        if self.fault:
            raise self.fault
        self.meanwhile()
        self.copies[run_id] = (description, tags, gone)

    change_experiment = change_run


class FakeRuns:
    """Prefect: a run an attempt, whatever is submitted how often."""

    def __init__(self) -> None:
        self.submitted: dict[str, dict[str, Any]] = {}
        self.calls = 0
        self.faults: dict[str, Exception] = {}

    def cancelled(self, _since: object) -> dict[str, Any]:
        return {}

    def states(self, _flow_run_ids: object) -> dict[str, Any]:
        return {}

    def observe(self, _flow_run_id: str) -> None: ...

    def submit(self, attempt_id: str, parameters: dict[str, Any], **given: Any) -> str:
        self.calls += 1
        if fault := self.faults.get(given["pool"]):
            raise fault
        self.submitted[attempt_id] = {"parameters": parameters, **given}
        return f"run-of-{attempt_id}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tracking(here: Platform) -> FakeTracking:
    found = FakeTracking()
    vars(here)["tracking"] = found  # where the platform keeps the connection once it is open
    return found


@pytest.fixture
def runs() -> FakeRuns:
    return FakeRuns()


@pytest.fixture
def watch(
    here: Platform, tracking: FakeTracking, runs: FakeRuns, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Watch:
    two = (Gpu("0", "NVIDIA X"), Gpu("1", "NVIDIA X"))
    monkeypatch.setattr(leasing, "this_machine", lambda: Machine(2, 3 * GIB, two))
    return Watch(here, runs, SECRET, lambda: None, clock=clock)


@pytest.fixture
def leases(watch: Watch) -> Leases:
    return watch.leases


def training(here: Platform, training_id: str) -> Training:
    with here.records.reading() as session:
        row = trainings.find(session, training_id)
        assert row.attempts is not None  # loaded while the session is open
        return row


def catalogue(here: Platform, text: str, file: str = "instance_types.yaml") -> None:
    (here.settings.home / "catalogue").mkdir(exist_ok=True)
    (here.settings.home / "catalogue" / file).write_text(text)
