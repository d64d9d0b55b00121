"""The platform goes down and up again: trainings pause, and go on."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import event

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt, Training
from blocks.records.words import Reason, TrainingState, Wish
from flows.training import suspend

T = TrainingState


def wishes(here: Platform) -> dict[str, str]:
    with here.records.reading() as session:
        return {row.id: row.wish for row in trainings.in_state(session, *T)}


def granted(here: Platform, training_id: str) -> str:
    with here.records.writing() as session:
        return verbs.grant(session, trainings.find(session, training_id), machine="", memory_bytes=1, gpus=[]).id


def test_all_that_is_alive_is_asked_to_pause(here: Platform, make: Callable[..., str]):
    """Those that wait, run or stage out; what ends or has ended is left alone, and a person's stop stays one."""
    paused = [make(T(state)) for state in ("CREATE_REQUESTED", "CREATE_IN_PROGRESS", "RUNNING", "COMPLETE_IN_PROGRESS")]
    others = [make(T(state)) for state in ("COMPLETE", "STOP_IN_PROGRESS", "FAIL_TRAIN")]
    stopped = make(T.RUNNING)
    with here.records.writing() as session:
        trainings.wish_stop(session, trainings.find(session, stopped))
    assert suspend.suspend_all(here, 5, lambda _left: None) == []
    expected = dict.fromkeys(paused, Wish.SUSPEND) | dict.fromkeys(others, Wish.NONE) | {stopped: Wish.STOP}
    assert wishes(here) == expected


def test_no_training_is_loaded_for_its_wish(here: Platform, make: Callable[..., str]):
    """Ten thousand that wait would keep those that save from telling so, twice a second."""
    for _ in range(3):
        make()
    loaded: list[str] = []

    def load(row: Training, *_how: object) -> None:
        loaded.append(row.id)

    event.listen(Training, "load", load)
    try:
        suspend.suspend_all(here, 5, lambda _left: None)
        assert suspend.resume_all(here) == 3
    finally:
        event.remove(Training, "load", load)
    assert loaded == []


def test_it_waits_until_nobody_holds_a_machine(here: Platform, make: Callable[..., str], monkeypatch):
    """An attempt that obeys after a moment is waited for, and named meanwhile."""
    monkeypatch.setattr(suspend, "POLL_SECONDS", 0.02)
    attempt_id = granted(here, make())
    told: list[list[str]] = []

    def obey() -> None:
        while len(told) < 3:
            time.sleep(0.01)
        with here.records.writing() as session:
            attempt = session.get(Attempt, attempt_id)
            verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=Reason.INTERRUPTED, message="", evidence={})

    thread = threading.Thread(target=obey)
    thread.start()
    assert suspend.suspend_all(here, 20, told.append) == []
    thread.join()
    assert "digits" in told[0][0]
    assert T.CREATE_IN_PROGRESS in told[0][0]


def test_what_does_not_obey_is_named_at_the_deadline(here: Platform, make: Callable[..., str], monkeypatch):
    """The wait ends, and says who still holds a machine."""
    monkeypatch.setattr(suspend, "POLL_SECONDS", 0.02)
    training_id = make()
    granted(here, training_id)
    began = time.monotonic()
    (left,) = suspend.suspend_all(here, 0.2, lambda _left: None)
    assert time.monotonic() - began < 5
    assert training_id in left


def test_an_interruption_takes_the_wish_back(here: Platform, make: Callable[..., str]):
    """Ctrl-C while it waits leaves nobody suspended, and is raised."""
    training_id = make()
    granted(here, training_id)

    def interrupt(_left: list[str]) -> None:
        assert wishes(here) == {training_id: Wish.SUSPEND}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suspend.suspend_all(here, 20, interrupt)
    assert wishes(here) == {training_id: Wish.NONE}


@pytest.mark.parametrize("number", suspend.INTERRUPTIONS)
def test_every_signal_that_would_end_it_takes_the_wish_back(
    here: Platform, make: Callable[..., str], number: signal.Signals
):
    """A lost terminal and SIGTERM do as Ctrl-C does; another signal meanwhile changes nothing."""
    training_id = make()
    granted(here, training_id)
    outside = signal.signal(number, signal.SIG_DFL)  # who runs these tests in the background may have it ignored
    before = signal.getsignal(number)

    def interrupt(_left: list[str]) -> None:
        try:
            signal.raise_signal(number)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match=number.name):
        suspend.suspend_all(here, 20, interrupt)
    assert wishes(here) == {training_id: Wish.NONE}
    assert signal.getsignal(number) is before
    signal.signal(number, outside)


def test_a_signal_that_is_ignored_stays_so(here: Platform, make: Callable[..., str], monkeypatch):
    """`nohup emf down` goes on when its terminal is lost."""
    monkeypatch.setattr(suspend, "POLL_SECONDS", 0.0)
    training_id = make()
    granted(here, training_id)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        (left,) = suspend.suspend_all(here, 0.2, lambda _left: signal.raise_signal(signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert training_id in left


def test_what_is_recorded_meanwhile_is_paused_too(here: Platform, make: Callable[..., str], monkeypatch):
    """A training that is created while others save does not begin."""
    monkeypatch.setattr(suspend, "POLL_SECONDS", 0.0)
    granted(here, make())
    late: list[str] = []
    suspend.suspend_all(here, 0.2, lambda _left: late or late.append(make()))
    assert wishes(here)[late[0]] == Wish.SUSPEND


def test_what_was_paused_goes_on(here: Platform, make: Callable[..., str]):
    """The wish to pause is taken back, and only that; how many go on is answered; again there is nothing to do."""
    make(T.RUNNING)
    stopped = make(T.RUNNING)
    with here.records.writing() as session:
        trainings.wish_stop(session, trainings.find(session, stopped))
    suspend.suspend_all(here, 0, lambda _left: None)
    assert suspend.resume_all(here) == 1
    assert sorted(wishes(here).values()) == [Wish.NONE, Wish.STOP]
    assert suspend.resume_all(here) == 0


@pytest.mark.parametrize("wish", [Wish.SUSPEND, Wish.NONE])
def test_a_paused_training_can_still_be_stopped(here: Platform, make: Callable[..., str], wish: Wish):
    """A person's stop goes before the platform's pause."""
    training_id = make()
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        row.wish = wish
        trainings.wish_stop(session, row)
        assert (row.state, row.wish) == (T.STOPPED, Wish.STOP)
