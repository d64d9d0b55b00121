"""Who is granted its lease, in which turn."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from blocks.catalogue.catalogue import GIB
from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import attempt as verbs
from blocks.records import survey, trainings
from blocks.records.tables import Attempt, Training
from blocks.records.words import TrainingState, Wish
from flows.controller import leases as leasing
from flows.controller.leases import Leases
from flows.controller.waiting import KEEPING_SECONDS
from flows.reconcile.tidy import tidy
from flows.training import suspend
from tests.flows.controller.conftest import catalogue, training
from tests.flows.reconcile.conftest import Clock

T = TrainingState


# --- grant


def test_leases_are_granted_in_turn(here: Platform, leases: Leases, make: Callable[..., str]):
    """The machine has 3 GiB: of two that want 2 each the first starts, the other is told what it waits for."""
    first, second = (make(instance_type="cpu.medium", name=name) for name in ("first", "second"))
    leases.grant()
    leases.grant()
    with here.records.reading() as session:
        (held,) = verbs.open_attempts(session)
    assert (held.training_id, held.memory_bytes, held.number) == (first, 2 * GIB, 1)
    assert training(here, second).message == "waits for 2.0 GiB of memory (1.0 GiB are free), held by first"
    assert training(here, first).message == ""


def test_all_instances_are_held_together(here: Platform, leases: Leases, make: Callable[..., str]):
    """Three instances of 1 GiB take the whole machine."""
    make(instance_count=3)
    make()
    leases.grant()
    with here.records.reading() as session:
        (held,) = verbs.open_attempts(session)
    assert held.memory_bytes == 3 * GIB


def test_gpus_are_held_by_index(here: Platform, leases: Leases, make: Callable[..., str]):
    """Each of two gets one of its own."""
    catalogue(here, "- {name: gpu, vcpus: 1, memory_gb: 1, gpus: 1, gpu_kind: X}")
    for _ in range(2):
        make(instance_type="gpu")
    leases.grant()
    with here.records.reading() as session:
        assert [row.gpus for row in verbs.open_attempts(session)] == [["0"], ["1"]]


def test_what_still_runs_holds_its_lease(here: Platform, leases: Leases, make: Callable[..., str]):
    """An attempt that was given up keeps memory and GPUs until its last process is gone."""
    first, second = (make(instance_type="cpu.medium", name=name) for name in ("first", "second"))
    leases.grant()
    command = [sys.executable, "-c", "input()"]
    marked = os.environ | {processes.MARK: f"{first}-a1"}
    with subprocess.Popen(command, env=marked, stdin=subprocess.PIPE, text=True) as script:
        with here.records.writing() as session:
            attempt = session.get(Attempt, f"{first}-a1")
            verbs.end(session, attempt, T.CREATE_FAILED, reason=None, message="", evidence={})
        leases.grant()
        assert training(here, second).attempts == []
        script.communicate("\n", timeout=10)
    leases.grant()
    assert len(training(here, second).attempts) == 1


def had_two_attempts(here: Platform, training_id: str) -> list[str]:
    """Let two attempts of a training have ended, and it wait for the next; returns their ids."""
    with here.records.writing() as session:
        for _ in range(2):
            row = trainings.find(session, training_id)
            attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
            verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
        return [attempt.id for attempt in row.attempts]


def test_a_next_attempt_waits_for_the_last_process_of_any_before(
    here: Platform, leases: Leases, make: Callable[..., str], clock: Clock
):
    """However long that takes: two would write in one place. Another training need not wait."""
    training_id, other = make(), make()
    had_two_attempts(here, training_id)
    marked = os.environ | {processes.MARK: f"{training_id}-a1"}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=marked, stdin=subprocess.PIPE, text=True) as script:
        leases.grant()
        clock.now += 9 * KEEPING_SECONDS
        leases.grant()
        told = "waits until the last processes of attempt 1 have ended on this machine"
        assert training(here, training_id).message == told
        assert len(training(here, training_id).attempts) == 2
        assert len(training(here, other).attempts) == 1
        script.communicate("\n", timeout=10)
    leases.grant()
    assert len(training(here, training_id).attempts) == 3


@pytest.mark.parametrize("clock_is", ["right", "set forward", "set back"])
def test_a_next_attempt_waits_for_what_the_last_one_left(
    here: Platform, leases: Leases, make: Callable[..., str], clock: Clock, clock_is: str
):
    """Its checkpoint is on its way from this machine; nobody else waits, and after ten minutes it does not either."""
    training_id, other = make(), make()
    with here.records.writing() as session:
        attempt = verbs.grant(session, trainings.find(session, training_id), machine="here", memory_bytes=1, gpus=[])
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
        attempt.ended_at += timedelta(days={"right": 0, "set forward": -1, "set back": 1}[clock_is])
    (here.settings.home / "work" / attempt.id).mkdir(parents=True)
    leases.grant()
    told = "waits, for up to 10 min, until what attempt 1 left on this machine is kept"
    assert training(here, training_id).message == told
    assert len(training(here, other).attempts) == 1
    clock.now += KEEPING_SECONDS - 1
    leases.grant()
    assert len(training(here, training_id).attempts) == 1
    clock.now += 1
    leases.grant()
    assert len(training(here, training_id).attempts) == 2
    with here.records.reading() as session:
        told = trainings.events_of(session, "training", training_id)[-1].message
    assert told == "Warning: what attempt 1 left is not kept yet; the next goes on without it."


def test_what_each_attempt_left_has_its_own_ten_minutes(
    here: Platform, leases: Leases, make: Callable[..., str], clock: Clock
):
    """What no place takes of the first costs the second, whose checkpoint may be newer, none of them."""
    training_id = make()
    first, second = had_two_attempts(here, training_id)
    (here.settings.home / "work" / first).mkdir(parents=True)
    leases.grant()
    clock.now += KEEPING_SECONDS - 1
    (here.settings.home / "work" / second).mkdir()
    leases.grant()
    clock.now += 1
    leases.grant()
    assert "until what attempt 2 left" in training(here, training_id).message


AT_WORK = """
import pathlib, sys
from flows.reconcile.at_work import at_work
with at_work(pathlib.Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    input()
"""


@pytest.mark.parametrize("of", [1, 2])
def test_a_next_attempt_waits_for_as_long_as_somebody_is_at_work(
    here: Platform, leases: Leases, make: Callable[..., str], clock: Clock, of: int
):
    """A large checkpoint of any attempt before may take hours to send; who is killed over it holds up nobody."""
    training_id, other = make(), make()
    for attempt_id in had_two_attempts(here, training_id):
        (here.settings.home / "work" / attempt_id).mkdir(parents=True)
    leases.grant()
    clock.now += 9 * KEEPING_SECONDS
    command = [sys.executable, "-c", AT_WORK, str(here.settings.home / "work" / f"{training_id}-a{of}")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tidying:
        assert tidying.stdout.readline() == "True\n"
        leases.grant()
        told = f"waits while what attempt {of} left on this machine is being kept"
        assert training(here, training_id).message == told
        assert len(training(here, training_id).attempts) == 2
        assert len(training(here, other).attempts) == 1
        tidying.kill()
    leases.grant()
    assert len(training(here, training_id).attempts) == 3


def test_once_all_is_kept_the_next_attempt_starts(here: Platform, leases: Leases, make: Callable[..., str]):
    """It waits for the folder alone: what is tidied holds it up no longer, and nothing is warned of."""
    training_id = make()
    with here.records.writing() as session:
        attempt = verbs.grant(session, trainings.find(session, training_id), machine="here", memory_bytes=1, gpus=[])
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
    (here.settings.home / "work" / attempt.id).mkdir(parents=True)
    tidy(here)
    leases.grant()
    assert len(training(here, training_id).attempts) == 2


@pytest.mark.parametrize("wish", [Wish.STOP, Wish.SUSPEND])
def test_who_is_to_pause_or_stop_gets_nothing(here: Platform, leases: Leases, make: Callable[..., str], wish: Wish):
    """It holds up nobody either."""
    training_id, other = make(instance_count=3), make()
    with here.records.writing() as session:
        trainings.find(session, training_id).wish = wish
    leases.grant()
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
    here: Platform, leases: Leases, make: Callable[..., str], file: str, text: str, missing: str
):
    """The training says so, and starts once it is there again."""
    training_id = make()
    catalogue(here, text, file)
    leases.grant()
    assert training(here, training_id).message == f"waits for {missing}, which is no longer in the catalogue"
    (here.settings.home / "catalogue" / file).unlink()
    leases.grant()
    assert len(training(here, training_id).attempts) == 1


# --- grant: what is written


def deciding(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Let something happen between the decision and what is written of it."""
    take_turns = leasing.take_turns

    def decide(*given: Any) -> Any:
        turn = take_turns(*given)
        meanwhile()
        return turn

    monkeypatch.setattr(leasing, "take_turns", decide)


def test_who_is_stopped_meanwhile_gets_nothing(
    here: Platform, leases: Leases, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """Neither a lease nor another message, whether its turn has come or not."""
    stopped = [make(instance_type="cpu.medium", name=name) for name in ("first", "second")]

    def stop() -> None:
        with here.records.writing() as session:
            for training_id in stopped:
                trainings.wish_stop(session, trainings.find(session, training_id))

    deciding(monkeypatch, stop)
    leases.grant()
    for training_id in stopped:
        row = training(here, training_id)
        assert (row.state, row.message, row.attempts) == (T.STOPPED, "Stopped before it got a machine.", [])


def test_who_is_to_pause_meanwhile_gets_nothing(
    here: Platform, leases: Leases, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """The platform that goes down need not wait for it."""
    training_id = make()
    deciding(monkeypatch, lambda: suspend.suspend_all(here, 0, lambda _left: None) and None)
    leases.grant()
    assert training(here, training_id).attempts == []


def test_nothing_is_granted_twice(
    here: Platform, leases: Leases, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """Where another has granted a lease since all was looked at, the next round decides anew."""
    first, second = (make(instance_type="cpu.medium", name=name) for name in ("first", "second"))

    def grant() -> None:
        with here.records.writing() as session:
            row = trainings.find(session, second)
            verbs.grant(session, row, machine="here", memory_bytes=2 * GIB, gpus=[])

    deciding(monkeypatch, grant)
    leases.grant()
    assert training(here, first).attempts == []


def test_a_round_that_changes_nothing_writes_nothing(
    here: Platform, leases: Leases, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """While another writes, it waits for nobody."""
    for _ in range(4):
        make(instance_type="cpu.medium")
    for _ in range(2):  # the second tells who holds what the first has granted
        leases.grant()
    monkeypatch.setattr("blocks.records.database.BUSY_SECONDS", 0.1)
    here.records.engine.dispose()
    with here.records.writing() as session:
        session.connection()
        leases.grant()


def test_what_waits_is_read_as_columns(here: Platform, leases: Leases, make: Callable[..., str]):
    """Of ten thousand that wait only those are loaded whose turn it is."""
    first, *_rest = (make(instance_type="cpu.medium") for _ in range(4))
    loaded: list[str] = []

    def load(row: Training, *_how: Any) -> None:
        loaded.append(row.id)

    event.listen(Training, "load", load)
    try:
        leases.grant()
        leases.grant()
    finally:
        event.remove(Training, "load", load)
    assert set(loaded) == {first}


def test_many_messages_are_written_a_few_at_a_time(
    here: Platform, leases: Leases, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """Between them a beat gets its turn; each arrives."""
    monkeypatch.setattr(survey, "AT_ONCE", 2)
    _, *waiting = (make(instance_type="cpu.medium") for _ in range(6))
    tell, told = trainings.tell_waiting, list[int]()

    def count(session: Any, messages: Any) -> None:
        told.append(len(messages))
        tell(session, messages)

    monkeypatch.setattr(trainings, "tell_waiting", count)
    leases.grant()
    assert told == [2, 2, 1]
    assert all("waits for 2.0 GiB" in training(here, one).message for one in waiting)
