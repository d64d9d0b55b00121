"""The controller's rounds over real records; only Prefect's and MLflow's sides are kept in memory."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from blocks.catalogue.catalogue import GIB, Machine
from blocks.errors import Permanent
from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.errors import NotDeployed, PrefectAway
from blocks.records import attempt as verbs
from blocks.records import experiments, trainings
from blocks.records.tables import Attempt, Training
from blocks.records.words import TrainingState, Wish
from blocks.tracking.errors import Rejected, Unreachable
from flows.controller import watch as watching
from flows.controller.watch import Watch

T = TrainingState
SECRET = "secret"


class FakeTracking:
    """MLflow: one run a training, and the status that it was given."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.status: dict[str, str] = {}
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


class FakeRuns:
    """Prefect: a run an attempt, whatever is submitted how often."""

    def __init__(self) -> None:
        self.submitted: dict[str, dict[str, Any]] = {}
        self.calls = 0
        self.faults: dict[str, Exception] = {}

    def submit(self, attempt_id: str, parameters: dict[str, Any], **given: Any) -> str:
        self.calls += 1
        if fault := self.faults.get(given["pool"]):
            raise fault
        self.submitted[attempt_id] = {"parameters": parameters, **given}
        return f"run-of-{attempt_id}"


@pytest.fixture
def tracking(here: Platform) -> FakeTracking:
    found = FakeTracking()
    vars(here)["tracking"] = found  # where the platform keeps the connection once it is open
    return found


@pytest.fixture
def runs() -> FakeRuns:
    return FakeRuns()


@pytest.fixture
def watch(here: Platform, tracking: FakeTracking, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(watching, "this_machine", lambda: Machine(2, 3 * GIB, 2))
    return Watch(here, runs, SECRET, lambda: None)


def training(here: Platform, training_id: str) -> Training:
    with here.records.reading() as session:
        row = trainings.find(session, training_id)
        assert row.attempts is not None  # loaded while the session is open
        return row


def catalogue(here: Platform, text: str, file: str = "instance_types.yaml") -> None:
    (here.settings.home / "catalogue").mkdir(exist_ok=True)
    (here.settings.home / "catalogue" / file).write_text(text)


# --- begin


def test_what_was_requested_gets_its_mlflow_run(here: Platform, watch: Watch, make: Callable[..., str], tracking):
    """Then it waits for its machine; a second round changes nothing."""
    training_id = make(T.CREATE_REQUESTED)
    watch.begin()
    watch.begin()
    row = training(here, training_id)
    assert (row.state, row.mlflow_run_id) == (T.CREATE_IN_PROGRESS, tracking.runs[training_id])
    assert len(tracking.runs) == 1


def test_what_mlflow_refuses_has_failed(here: Platform, watch: Watch, make: Callable[..., str], tracking):
    """CREATE_FAILED with MLflow's words."""
    training_id = make(T.CREATE_REQUESTED)
    tracking.fault = Rejected("no such experiment")
    watch.begin()
    row = training(here, training_id)
    assert (row.state, row.reason) == (T.CREATE_FAILED, "PLATFORM")
    assert "no such experiment" in row.message


def test_while_mlflow_is_away_it_waits(here: Platform, watch: Watch, make: Callable[..., str], tracking):
    """It stays requested, and begins at a later round."""
    training_id = make(T.CREATE_REQUESTED)
    tracking.fault = Unreachable("away")
    with pytest.raises(Unreachable):
        watch.begin()
    assert training(here, training_id).state == T.CREATE_REQUESTED
    tracking.fault = None
    watch.begin()
    assert training(here, training_id).state == T.CREATE_IN_PROGRESS


def test_a_stop_in_the_middle_leaves_no_run_open(here: Platform, watch: Watch, make: Callable[..., str], tracking):
    """A training that is stopped while its run is made stays STOPPED, and its run is ended as killed."""
    training_id = make(T.CREATE_REQUESTED)

    def stop() -> None:
        with here.records.writing() as session:
            trainings.wish_stop(session, trainings.find(session, training_id))

    tracking.meanwhile = stop
    watch.begin()
    watch.tell_mlflow()
    assert training(here, training_id).state == T.STOPPED
    assert tracking.status == {"m-0": "KILLED"}


def test_a_training_waits_for_its_experiment(here: Platform, watch: Watch, make: Callable[..., str], tracking):
    """Without a place in MLflow there is no run to make."""
    training_id = make(T.CREATE_REQUESTED)
    with here.records.writing() as session:
        experiments.find(session, "group").mlflow_id = ""
    watch.begin()
    assert training(here, training_id).state == T.CREATE_REQUESTED
    assert tracking.runs == {}


def test_it_says_what_it_waits_for(here: Platform, watch: Watch, make: Callable[..., str]):
    """The message names the experiment and its state."""
    training_id = make(T.CREATE_REQUESTED)
    with here.records.writing() as session:
        experiments.find(session, "group").mlflow_id = ""
        experiments.find(session, "group").state = "CREATE_IN_PROGRESS"
    watch.begin()
    assert training(here, training_id).message == "waits for its experiment group, which is CREATE_IN_PROGRESS"


def test_it_fails_with_its_experiment(here: Platform, watch: Watch, make: Callable[..., str]):
    """An experiment that could not be made leaves no training waiting for ever."""
    training_id = make(T.CREATE_REQUESTED)
    with here.records.writing() as session:
        group = experiments.find(session, "group")
        group.mlflow_id, group.state, group.message = "", "CREATE_FAILED", "MLflow refused"
    watch.begin()
    row = training(here, training_id)
    assert (row.state, row.reason) == (T.CREATE_FAILED, "PLATFORM")
    assert "MLflow refused" in row.message


# --- grant


def test_leases_are_granted_in_turn(here: Platform, watch: Watch, make: Callable[..., str]):
    """The machine has 3 GiB: of two that want 2 each the first starts, the other is told what it waits for."""
    first, second = (make(instance_type="cpu.medium", name=name) for name in ("first", "second"))
    watch.grant()
    watch.grant()
    with here.records.reading() as session:
        (held,) = verbs.open_attempts(session)
    assert (held.training_id, held.memory_bytes, held.number) == (first, 2 * GIB, 1)
    assert training(here, second).message == "waits for 2.0 GiB of memory (1.0 GiB are free), held by first"
    assert training(here, first).message == ""


def test_all_instances_are_held_together(here: Platform, watch: Watch, make: Callable[..., str]):
    """Three instances of 1 GiB take the whole machine."""
    make(instance_count=3)
    make()
    watch.grant()
    with here.records.reading() as session:
        (held,) = verbs.open_attempts(session)
    assert held.memory_bytes == 3 * GIB


def test_gpus_are_held_by_index(here: Platform, watch: Watch, make: Callable[..., str]):
    """Each of two gets one of its own."""
    catalogue(here, "- {name: gpu, vcpus: 1, memory_gb: 1, gpus: 1, gpu_kind: X}")
    for _ in range(2):
        make(instance_type="gpu")
    watch.grant()
    with here.records.reading() as session:
        assert [row.gpus for row in verbs.open_attempts(session)] == [["0"], ["1"]]


def test_what_still_runs_holds_its_lease(here: Platform, watch: Watch, make: Callable[..., str]):
    """An attempt that was given up keeps memory and GPUs until its last process is gone."""
    first, second = (make(instance_type="cpu.medium", name=name) for name in ("first", "second"))
    watch.grant()
    command = [sys.executable, "-c", "input()"]
    marked = os.environ | {processes.MARK: f"{first}-a1"}
    with subprocess.Popen(command, env=marked, stdin=subprocess.PIPE, text=True) as script:
        with here.records.writing() as session:
            attempt = session.get(Attempt, f"{first}-a1")
            verbs.end(session, attempt, T.CREATE_FAILED, reason=None, message="", evidence={})
        watch.grant()
        assert training(here, second).attempts == []
        script.communicate("\n", timeout=10)
    watch.grant()
    assert len(training(here, second).attempts) == 1


@pytest.mark.parametrize("wish", [Wish.STOP, Wish.SUSPEND])
def test_who_is_to_pause_or_stop_gets_nothing(here: Platform, watch: Watch, make: Callable[..., str], wish: Wish):
    """It holds up nobody either."""
    training_id, other = make(instance_count=3), make()
    with here.records.writing() as session:
        trainings.find(session, training_id).wish = wish
    watch.grant()
    with here.records.reading() as session:
        assert [row.training_id for row in verbs.open_attempts(session)] == [other]


@pytest.mark.parametrize(
    ("file", "text", "missing"),
    [
        ("instance_types.yaml", "- {name: other, vcpus: 1, memory_gb: 1}", "cpu.small"),
        (
            "images.yaml",
            "- {name: o, core_type: CPU, framework: PYTHON, framework_version: '1', python: '3.11', environment: x}",
            "pytorch-2.13-cpu-py311",
        ),
    ],
)
def test_what_left_the_catalogue_is_waited_for(
    here: Platform, watch: Watch, make: Callable[..., str], file: str, text: str, missing: str
):
    """The training says so, and starts once it is there again."""
    training_id = make()
    catalogue(here, text, file)
    watch.grant()
    assert training(here, training_id).message == f"waits for {missing}, which is no longer in the catalogue"
    (here.settings.home / "catalogue" / file).unlink()
    watch.grant()
    assert len(training(here, training_id).attempts) == 1


# --- submit


@pytest.fixture
def leased(watch: Watch, make: Callable[..., str]) -> str:
    """The id of an attempt that has its lease."""
    training_id = make()
    watch.grant()
    return f"{training_id}-a1"


def test_a_lease_gets_its_run(here: Platform, watch: Watch, runs: FakeRuns, leased: str, attempt_of: Any):
    """Submitted once, to its instance type's pool, with the code to claim it and no other secret."""
    watch.submit()
    watch.submit()
    (given,) = runs.submitted.values()
    assert attempt_of(leased).flow_run_id == f"run-of-{leased}"
    assert given["parameters"] == {"training_id": leased.removesuffix("-a1"), "attempt": 1}
    assert (given["name"], given["pool"], given["job_variables"]) == ("digits-1", "process", {})
    assert given["environment"] == {"EMF_CLAIM_CODE": verbs.claim_code(SECRET, leased), "EMF_ATTEMPT": leased}
    assert runs.calls == 1


def test_a_run_that_was_quicker_keeps_its_name(here: Platform, watch: Watch, runs: FakeRuns, leased: str, attempt_of):
    """A run that claims before its submission is noted is the attempt's run."""
    submit = runs.submit

    def quick(attempt_id: str, *rest: Any, **given: Any) -> str:
        with here.records.writing() as session:
            verbs.claim(session, attempt_id, "token", "the claimer")
        return submit(attempt_id, *rest, **given)

    runs.submit = quick
    watch.submit()
    assert attempt_of(leased).flow_run_id == "the claimer"


def test_while_prefect_is_away_the_lease_stays(watch: Watch, runs: FakeRuns, leased: str, attempt_of: Any):
    """It is submitted at a later round."""
    runs.faults["process"] = PrefectAway("away")
    with pytest.raises(PrefectAway):
        watch.submit()
    assert attempt_of(leased).flow_run_id == ""
    runs.faults.clear()
    watch.submit()
    assert attempt_of(leased).flow_run_id


def test_a_pool_without_its_flow_holds_up_nobody_else(here: Platform, watch: Watch, runs: FakeRuns, make, attempt_of):
    """An instance type whose pool was never deployed waits; those behind it start."""
    sizes = "- {name: cpu.small, vcpus: 1, memory_gb: 1}\n- {name: odd, vcpus: 1, memory_gb: 1, pool: nowhere}\n"
    catalogue(here, sizes)
    odd, usual = make(instance_type="odd"), make()
    runs.faults["nowhere"] = NotDeployed("not deployed")
    watch.grant()
    watch.submit()
    row = attempt_of(f"{odd}-a1")
    assert (row.flow_run_id, row.progress) == ("", "cannot be started: not deployed")
    assert attempt_of(f"{usual}-a1").flow_run_id


def test_only_so_many_start_at_once(here: Platform, watch: Watch, runs: FakeRuns, make: Callable[..., str]):
    """The next is submitted when one of those that are starting has been claimed."""
    catalogue(here, "- {name: cpu.small, vcpus: 1, memory_gb: 0.1, pool: process}\n")
    attempts = [f"{make()}-a1" for _ in range(6)]
    watch.grant()
    watch.submit()
    watch.submit()
    assert list(runs.submitted) == attempts[:4]
    with here.records.writing() as session:
        verbs.claim(session, attempts[0], "token", "the claimer")
    watch.submit()
    assert list(runs.submitted) == attempts[:5]


# --- tell MLflow


@pytest.mark.parametrize(
    ("state", "status"),
    [("COMPLETE", "FINISHED"), ("FAIL_TRAIN", "FAILED"), ("CREATE_FAILED", "FAILED"), ("STOPPED", "KILLED")],
)
def test_mlflow_is_told_how_it_ended(
    here: Platform, watch: Watch, make: Callable[..., str], tracking: FakeTracking, state: str, status: str
):
    """The run's status is the training's, whatever the script made of it; told once."""
    training_id = make(T(state))
    with here.records.writing() as session:
        trainings.find(session, training_id).mlflow_run_id = "m-9"
    watch.tell_mlflow()
    assert tracking.status == {"m-9": status}
    tracking.status.clear()
    watch.tell_mlflow()
    assert tracking.status == {}


def test_a_run_that_mlflow_lost_is_not_asked_for_ever(here: Platform, watch: Watch, make, tracking: FakeTracking):
    """A run that somebody deleted in MLflow is told once, and the others still are."""
    for name in ("a", "b"):
        training_id = make(T.COMPLETE)
        with here.records.writing() as session:
            trainings.find(session, training_id).mlflow_run_id = name
    tracking.fault = Rejected("gone")
    watch.tell_mlflow()
    tracking.fault = None
    watch.tell_mlflow()
    assert tracking.status == {}


def test_while_mlflow_is_away_it_is_told_later(here: Platform, watch: Watch, make, tracking: FakeTracking):
    """Nothing is noted as told."""
    training_id = make(T.COMPLETE)
    with here.records.writing() as session:
        trainings.find(session, training_id).mlflow_run_id = "m-9"
    tracking.fault = Unreachable("away")
    with pytest.raises(Unreachable):
        watch.tell_mlflow()
    tracking.fault = None
    watch.tell_mlflow()
    assert tracking.status == {"m-9": "FINISHED"}


# --- the rounds


def test_a_step_that_fails_holds_up_no_other(here: Platform, watch: Watch, make, tracking, monkeypatch):
    """With MLflow away and a fault in another step, those that wait still get their lease and their run."""
    monkeypatch.setattr(watching, "ROUND_SECONDS", 0.01)
    training_id = make()
    make(T.CREATE_REQUESTED)
    tracking.fault = Unreachable("away")
    monkeypatch.setattr(trainings, "untold", lambda _session: 1 / 0)
    rounds: list[int] = []

    def board() -> None:
        rounds.append(1)
        if len(rounds) == 3:
            watch.stop()
        raise Permanent("no board")

    watch.boards = board
    watch.run()
    with here.records.reading() as session:
        assert session.get(Attempt, f"{training_id}-a1").flow_run_id
    assert len(rounds) == 3


def test_what_does_not_want_to_end_holds_up_no_round(here: Platform, watch: Watch, make, monkeypatch):
    """Healing has a thread of its own: while it waits for a deaf script, leases are granted."""
    monkeypatch.setattr(watching, "ROUND_SECONDS", 0.01)
    monkeypatch.setattr(watching, "HEAL_SECONDS", 0.01)
    is_healing, is_over = threading.Event(), threading.Event()

    def heal(*_given: Any, **_how: Any) -> list[Any]:
        is_healing.set()
        is_over.wait(20)
        return []

    monkeypatch.setattr(watching, "reconcile", heal)
    watch.start()
    try:
        assert is_healing.wait(10)
        training_id, deadline = make(), time.monotonic() + 10
        while not training(here, training_id).attempts:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not is_over.is_set()
    finally:
        is_over.set()
        watch.stop(within=10)
