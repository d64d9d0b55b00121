"""The controller's rounds over real records; only Prefect's and MLflow's sides are kept in memory."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import attempt as verbs
from blocks.records import experiments, trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from blocks.tracking.errors import Rejected, Unreachable
from flows.controller import pulse as beating
from flows.controller import watch as watching
from flows.controller.pulse import Pulse
from flows.controller.watch import Watch
from flows.reconcile.in_turn import LONGEST_PAUSE_SECONDS
from flows.reconcile.report import Report
from tests.flows.controller.conftest import FakeTracking, training
from tests.flows.reconcile.conftest import Clock
from tests.platform.deadlines import within

T = TrainingState


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


def test_while_mlflow_is_away_it_waits(here: Platform, watch: Watch, make: Callable[..., str], tracking, clock: Clock):
    """It stays requested, and begins at a later round."""
    training_id = make(T.CREATE_REQUESTED)
    tracking.fault = Unreachable("away")
    with pytest.raises(Unreachable):
        watch.begin()
    assert training(here, training_id).state == T.CREATE_REQUESTED
    tracking.fault = None
    clock.now += LONGEST_PAUSE_SECONDS
    watch.begin()
    assert training(here, training_id).state == T.CREATE_IN_PROGRESS


def test_one_that_never_begins_holds_up_no_other(
    here: Platform, watch: Watch, make: Callable[..., str], tracking, monkeypatch: pytest.MonkeyPatch
):
    """Where MLflow always fails at the first, those behind it begin in the same round."""
    first, second = make(T.CREATE_REQUESTED), make(T.CREATE_REQUESTED)
    ensure = tracking.ensure_run

    def fail_at_first(group: str, training_id: str, *words: Any) -> str:
        if training_id == first:
            raise Unreachable("500")
        return ensure(group, training_id, *words)

    monkeypatch.setattr(tracking, "ensure_run", fail_at_first)
    with pytest.raises(Unreachable):
        watch.begin()
    states = [training(here, each).state for each in (first, second)]
    assert states == [T.CREATE_REQUESTED, T.CREATE_IN_PROGRESS]


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


def test_while_mlflow_is_away_it_is_told_later(
    here: Platform, watch: Watch, make, tracking: FakeTracking, clock: Clock
):
    """Nothing is noted as told."""
    training_id = make(T.COMPLETE)
    with here.records.writing() as session:
        trainings.find(session, training_id).mlflow_run_id = "m-9"
    tracking.fault = Unreachable("away")
    with pytest.raises(Unreachable):
        watch.tell_mlflow()
    tracking.fault = None
    clock.now += LONGEST_PAUSE_SECONDS
    watch.tell_mlflow()
    assert tracking.status == {"m-9": "FINISHED"}


def test_one_whose_end_is_never_taken_holds_up_no_other(
    here: Platform, watch: Watch, make, tracking: FakeTracking, monkeypatch: pytest.MonkeyPatch
):
    """Where MLflow always fails at the first, those behind it are told in the same round."""
    for name in ("bad", "good"):
        training_id = make(T.COMPLETE)
        with here.records.writing() as session:
            trainings.find(session, training_id).mlflow_run_id = name
    end = tracking.end_run

    def fail_at_bad(run_id: str, status: str) -> None:
        if run_id == "bad":
            raise Unreachable("500")
        end(run_id, status)

    monkeypatch.setattr(tracking, "end_run", fail_at_bad)
    with pytest.raises(Unreachable):
        watch.tell_mlflow()
    assert tracking.status == {"good": "FINISHED"}


# --- the rounds


def test_a_step_that_fails_holds_up_no_other(watch: Watch, monkeypatch: pytest.MonkeyPatch):
    """With MLflow away in one and a fault in another, those behind them are done, round after round."""
    monkeypatch.setattr(watching, "ROUND_SECONDS", 0.01)
    rounds: list[int] = []

    def begin() -> None:
        raise Unreachable("away")

    def tell_mlflow() -> None:
        raise ZeroDivisionError

    def tell_changes() -> None:
        rounds.append(1)
        if len(rounds) == 3:
            watch.stop()

    monkeypatch.setattr(watch, "begin", begin)
    monkeypatch.setattr(watch, "tell_mlflow", tell_mlflow)
    monkeypatch.setattr(watch.telling, "tell_changes", tell_changes)
    watch.run_mlflow()
    assert len(rounds) == 3


def test_a_part_that_hangs_holds_up_only_what_needs_it(
    here: Platform, watch: Watch, make: Callable[..., str], tracking: FakeTracking, monkeypatch: pytest.MonkeyPatch
):
    """MLflow and the boards take the call and do not answer: those that wait get their lease and their run."""
    monkeypatch.setattr(watching, "ROUND_SECONDS", 0.01)
    is_over, hanging = threading.Event(), list[str]()

    def hang(where: str) -> None:
        hanging.append(where)
        is_over.wait(20)

    tracking.meanwhile = lambda: hang("MLflow")
    watch.boards = lambda: hang("boards")
    make(T.CREATE_REQUESTED)
    watch.start()
    try:
        within(20, lambda: len(hanging) >= 2, "MLflow's and the boards' turn")
        attempt_id = f"{make()}-a1"
        within(20, lambda: flow_run_of(here, attempt_id), "its run")
        assert not is_over.is_set()
    finally:
        is_over.set()
        watch.stop(within=10)
    assert sorted(hanging[:2]) == ["MLflow", "boards"]


def flow_run_of(here: Platform, attempt_id: str) -> str:
    with here.records.reading() as session:
        row = session.get(Attempt, attempt_id)
        return row.flow_run_id if row else ""


def test_a_step_that_takes_long_is_no_gap(watch: Watch, monkeypatch: pytest.MonkeyPatch):
    """While every other loop is at work for longer than a gap, the listening goes on, so that deaths are found."""
    monkeypatch.setattr(watching, "PULSE_SECONDS", 0.02)
    monkeypatch.setattr(beating, "GAP", timedelta(seconds=0.5))
    is_over, since = threading.Event(), watch.pulse.listening_since
    for loop in ("run", "run_mlflow", "run_boards", "run_heal", "run_clear_up", "run_tidy", "run_close_idle"):
        monkeypatch.setattr(watch, loop, lambda: is_over.wait(20))
    watch.start()
    try:
        time.sleep(1.5)
        watch.pulse.beat("watch", 60)
        assert watch.pulse.listening_since == since
    finally:
        is_over.set()
        watch.stop(within=10)


def test_deaths_are_looked_for_all_the_time_and_what_was_left_now_and_then(
    here: Platform, watch: Watch, monkeypatch: pytest.MonkeyPatch
):
    """Soon after its start the controller looks at all that nobody saw while there was none; each says how it went."""
    monkeypatch.setattr(watching, "HEAL_SECONDS", 0.01)
    monkeypatch.setattr(watching, "CLEAR_UP_FIRST_SECONDS", 0.01)
    rounds: list[bool] = []

    def reconcile(*_given: Any, thorough: bool = False, **_how: Any) -> Report:
        rounds.append(thorough)
        return Report(now(), attempts=7)

    monkeypatch.setattr(watching, "reconcile", reconcile)
    watch.start()
    try:
        within(20, lambda: rounds.count(False) >= 3 and True in rounds, "a thorough look among the others")
    finally:
        watch.stop(within=10)
    assert rounds.count(True) == 1
    assert watch.pulse.report is not None
    assert watch.pulse.report.attempts == 7


def test_a_death_is_found_while_the_last_is_still_ended(
    here: Platform, watch: Watch, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """A deaf script takes its whole grace, beside the looks."""
    ended, is_over = list[str](), threading.Event()

    def end(attempt_ids: list[str], *_how: Any) -> set[str]:
        is_over.wait(20)
        ended.extend(attempt_ids)
        return set()

    monkeypatch.setattr(processes, "end", end)
    monkeypatch.setattr(Pulse, "listening_since", now() - timedelta(hours=1))
    dead: list[str] = []
    try:
        for _ in range(2):
            training_id = make(T.RUNNING)
            with here.records.writing() as session:
                row = trainings.find(session, training_id)
                attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
                verbs.claim(session, attempt.id, "token", "")
                attempt.beat_at = now() - timedelta(minutes=1)
            dead.append(attempt.id)
            watch.heal()
            assert watch.pulse.report is not None
            assert [one.subject for one in watch.pulse.report.found] == [attempt.id]
        assert ended == []
    finally:
        is_over.set()
    with here.records.reading() as session:
        assert all(session.get(Attempt, one).ended_at for one in dead)


def test_what_does_not_want_to_end_holds_up_no_round(here: Platform, watch: Watch, make, monkeypatch):
    """Healing has a thread of its own: while it waits for a deaf script, leases are granted."""
    monkeypatch.setattr(watching, "ROUND_SECONDS", 0.01)
    monkeypatch.setattr(watching, "HEAL_SECONDS", 0.01)
    is_healing, is_over = threading.Event(), threading.Event()

    def heal(*_given: Any, **_how: Any) -> Report:
        is_healing.set()
        is_over.wait(20)
        return Report(now())

    monkeypatch.setattr(watching, "reconcile", heal)
    watch.start()
    try:
        assert is_healing.wait(10)
        training_id = make()
        within(10, lambda: training(here, training_id).attempts, "its lease")
        assert not is_over.is_set()
    finally:
        is_over.set()
        watch.stop(within=10)


def test_what_takes_long_to_keep_holds_up_no_other(watch: Watch, monkeypatch: pytest.MonkeyPatch):
    """A few tidy at once, with the same memory of what has failed."""
    monkeypatch.setattr(watching, "TIDY_SECONDS", 0.01)
    is_over, memories = threading.Event(), list[Any]()

    def tidy(_platform: Platform, in_turn: Any, _within: float) -> list[str]:
        memories.append(in_turn)
        is_over.wait(20)
        return []

    monkeypatch.setattr(watching, "tidy", tidy)
    watch.start()
    try:
        within(20, lambda: len(memories) >= watching.TIDY_AT_ONCE, "every loop's turn")
    finally:
        is_over.set()
        watch.stop(within=10)
    assert len({id(one) for one in memories}) == 1
