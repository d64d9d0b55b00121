"""An instance and the controller, over HTTP: the real client at the real door."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn

from blocks.logs import LocalSink
from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt
from blocks.records.words import TrainingState, Wish
from flows.controller.assign import Assigner
from flows.controller.door import app
from flows.training.checkpoints.checkpoint import Committed
from flows.training.ends.verdict import LAST_LINES, Cause, Evidence
from flows.training.instances import door as doors
from flows.training.instances.door import Door, DoorClosed, GivenUp, NotUnderstood
from flows.training.instances.instance import ScriptLog

T = TrainingState
SECRET = "secret"


@pytest.fixture
def url(here: Platform) -> Iterator[str]:
    """Where a controller answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app(Assigner(here), SECRET), log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def attempt_id(here: Platform, make: Callable[..., str]) -> str:
    training_id = make()
    with here.records.writing() as session:
        return verbs.grant(session, trainings.find(session, training_id), machine="", memory_bytes=1, gpus=[]).id


@pytest.fixture
def door(url: str, attempt_id: str) -> Door:
    """The door of the run that holds the attempt."""
    found = Door(url, attempt_id)
    assert found.claim(verbs.claim_code(SECRET, attempt_id), "run-1").attempt_id == attempt_id
    return found


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_attempt_from_claim_to_end(door: Door, attempt_of: Callable, attempt_id: str):
    """Every verb in its turn; the end answers what became of the training."""
    door.run()
    door.checkpoint(Committed(1, "file:///c/1", 2, 3))
    door.warn("Warning: odd")
    evidence = Evidence(Cause.EXIT, exit_code=0, last_lines=("done",))
    door.stage_out(evidence)
    assert door.end(evidence) == {"state": "COMPLETE", "reason": "", "message": "The script ended with exit code 0."}
    row = attempt_of(attempt_id)
    assert (row.training.state, row.evidence["last_lines"], len(row.checkpoints)) == (T.COMPLETE, ["done"], 1)


def test_a_second_run_is_given_up(url: str, door: Door, attempt_id: str):
    """Another process with the same code is told that the attempt is not its own, at once; the script goes on."""
    door.run()
    with pytest.raises(GivenUp, match="belongs to another run"):
        Door(url, attempt_id).claim(verbs.claim_code(SECRET, attempt_id), "run-1")
    door.confirm()


def test_beats_bring_wishes(here: Platform, door: Door, attempt_of: Callable, attempt_id: str, monkeypatch):
    """While it beats, its progress is seen and a stop arrives."""
    monkeypatch.setattr(doors, "BEAT_SECONDS", 0.05)
    door.progress = "epoch 1"
    with door.beating():
        wait_for(lambda: attempt_of(attempt_id).progress == "epoch 1")
        assert door.wish == Wish.NONE
        with here.records.writing() as session:
            trainings.wish_stop(session, trainings.find(session, attempt_id.removesuffix("-a1")))
        wait_for(lambda: door.wish == Wish.STOP)
    assert not door.given_up.is_set()


def test_an_attempt_that_was_given_up_notices(here: Platform, door: Door, attempt_id: str, monkeypatch):
    """The next beat says so, and every other verb."""
    monkeypatch.setattr(doors, "BEAT_SECONDS", 0.05)
    with door.beating():
        with here.records.writing() as session:
            attempt = session.get(Attempt, attempt_id)
            verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
        assert door.given_up.wait(10)
    with pytest.raises(GivenUp):
        door.checkpoint(Committed(1, "file:///c/1", 1, 1))


def test_a_controller_that_is_away_ends_nothing(attempt_id: str, monkeypatch: pytest.MonkeyPatch):
    """Beats that nobody hears are said again; what must be told waits for its time and then says who did not answer."""
    monkeypatch.setattr(doors, "BEAT_SECONDS", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    door = Door(nobody, attempt_id)
    with door.beating():
        time.sleep(0.2)
    assert not door.given_up.is_set()
    with pytest.raises(DoorClosed, match="does not answer"):
        door._call("run", {}, patience=0.3)


def test_a_call_waits_for_a_controller_that_restarts(url: str, door: Door, attempt_of: Callable, attempt_id: str):
    """A verb that meets a closed door is said again until it is heard."""
    real, closed = door._once, [DoorClosed("restarting"), DoorClosed("restarting")]

    def once(verb: str, body: dict) -> dict:
        """Meet a closed door twice."""
        if closed:
            raise closed.pop()
        return real(verb, body)

    door.run()
    door._once = once
    door.stage_out(Evidence(Cause.EXIT, exit_code=0))
    assert attempt_of(attempt_id).training.state == T.COMPLETE_IN_PROGRESS


def test_a_controller_that_is_away_when_a_model_is_confirmed_costs_nothing(door: Door, monkeypatch: pytest.MonkeyPatch):
    """Whether the attempt is still ours is asked as long as its end is told: the model is there already."""
    patiences: list[float] = []

    def call(_verb: str, _body: object, patience: float = 0) -> dict[str, object]:
        patiences.append(patience)
        return {}

    monkeypatch.setattr(door, "_call", call)
    door.confirm()
    assert patiences == [doors.END_SECONDS]


def test_the_last_lines_always_pass(door: Door, here: Platform, attempt_id: str, attempt_of: Callable):
    """A script that prints the longest lines that a log stores can still tell how it ended; the very last are kept."""
    log = ScriptLog(LocalSink(here.settings.home, attempt_id.removesuffix("-a1"), 1, 0), attempt_id[:-3], 1, 0)
    log.write([("\x01" * 64 * 1024, 0)] * LAST_LINES + [("the end", 0)])
    log.close()
    door.run()
    evidence = Evidence(Cause.EXIT, exit_code=1, last_lines=tuple(log.last))
    assert door.end(evidence)["state"] == "FAIL_TRAIN"
    assert attempt_of(attempt_id).evidence["last_lines"][-1] == "the end"


def test_pips_longest_words_pass(door: Door, attempt_of: Callable, attempt_id: str):
    """Twenty lines of 60 KB, and an error as long: the user's error is told as that."""
    evidence = Evidence(Cause.REQUIREMENTS, error="e" * 70_000, last_lines=["p" * 60_000] * 20)
    assert door.end(evidence)["reason"] == "USER_ERROR"
    assert len(attempt_of(attempt_id).evidence["last_lines"]) == 20


def test_a_beat_that_fails_is_not_the_last(door: Door, attempt_of: Callable, attempt_id: str, monkeypatch):
    """Whatever goes wrong with one, the next is heard."""
    monkeypatch.setattr(doors, "BEAT_SECONDS", 0.02)
    real, faults = door._once, [ValueError("odd"), KeyError("wish")]

    def once(verb: str, body: dict) -> dict:
        """Fail twice, as nobody foresaw."""
        if faults:
            raise faults.pop()
        return real(verb, body)

    door._once = once
    door.progress = "epoch 2"
    with door.beating():
        wait_for(lambda: attempt_of(attempt_id).progress == "epoch 2")


def test_half_a_character_passes(door: Door, attempt_of: Callable, attempt_id: str):
    """A file's name that is no UTF-8 reaches the records with a question mark, in a beat and in an end."""
    door.progress = "staging in half\udcff"
    door.confirm()
    assert attempt_of(attempt_id).progress == "staging in half?"
    door.end(Evidence(Cause.DATA, error="no file \udcff", last_lines=["\ud83d"]))
    assert attempt_of(attempt_id).evidence["error"] == "no file ?"


def test_an_end_that_is_not_understood_is_told_in_short(door: Door, attempt_of: Callable, attempt_id: str):
    """How it ended reaches the records without the words that did not."""
    real = door._once

    def once(verb: str, body: dict) -> dict:
        """Break what carries the script's words."""
        if "last_lines" in body["evidence"]:
            body = {"evidence": body["evidence"] | {"cause": "odd"}}
        return real(verb, body)

    door.run()
    door._once = once
    evidence = Evidence(Cause.EXIT, exit_code=3, last_lines=("words",))
    door.stage_out(evidence)
    assert door.end(evidence)["reason"] == "USER_ERROR"
    found = attempt_of(attempt_id).evidence
    assert (found["exit_code"], "last_lines" in found) == (3, False)
    assert "422" in found["error"]


def test_a_beat_that_is_not_understood_gives_nothing_up(door: Door, attempt_of: Callable, attempt_id: str, monkeypatch):
    """Its words are left out and the lease is renewed; where no beat is understood the script goes on all the same."""
    monkeypatch.setattr(doors, "BEAT_SECONDS", 0.02)
    real, beats = door._once, list[dict[str, object]]()

    def once(verb: str, body: dict[str, object]) -> dict[str, object]:
        """Refuse the words of the first beats, then every beat."""
        beats.append(body)
        if body or len(beats) > 4:
            raise NotUnderstood("422")
        return real(verb, body)

    door._once = once
    before = attempt_of(attempt_id).beat_at
    with door.beating():
        wait_for(lambda: len(beats) > 8)
    assert not door.given_up.is_set()
    assert attempt_of(attempt_id).beat_at > before
    with pytest.raises(DoorClosed, match="does not understand a beat"):
        door.confirm()


class Clock:
    """A steady clock that a test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which the door tells how long the script has run."""
    found = Clock()
    monkeypatch.setattr(doors, "time", found)
    return found


def test_the_time_that_is_told_is_that_of_the_steady_clock(
    here: Platform, door: Door, clock: Clock, attempt_of: Callable, attempt_id: str
):
    """From the first word of its start to that of its end; every beat brings the records up to date."""
    clock.now += 50  # what comes before the script is none of its time
    door.confirm()
    assert attempt_of(attempt_id).ran_seconds is None
    door.run()
    for seconds in (30, 60):
        clock.now += 30
        door.confirm()
        assert attempt_of(attempt_id).ran_seconds == seconds
    clock.now += 1.5
    evidence = Evidence(Cause.EXIT, exit_code=0)
    door.stage_out(evidence)
    clock.now += 1000  # nor is what comes after it
    door.confirm()
    door.end(evidence)
    row = attempt_of(attempt_id)
    assert row.ran_seconds == trainings.ran_seconds(row) == 61.5


def test_a_start_that_nobody_heard_counts_from_then(door: Door, clock: Clock, attempt_of: Callable, attempt_id: str):
    """The script runs while the controller is away, and its start is told again: its time began with the first."""
    real = door._once

    def away(verb: str, _body: dict) -> dict:
        """Close the door."""
        raise DoorClosed(f"{verb} was not heard")

    door._once = away
    with pytest.raises(DoorClosed):
        door.run()
    clock.now += 40
    door._once = real
    door.run()
    clock.now += 2
    door.end(Evidence(Cause.STOPPED))
    assert attempt_of(attempt_id).ran_seconds == 42


def test_what_never_ran_tells_no_time(door: Door, clock: Clock, attempt_of: Callable, attempt_id: str):
    """An attempt that ends while its data comes in has none."""
    clock.now += 40
    door.end(Evidence(Cause.STOPPED))
    row = attempt_of(attempt_id)
    assert (row.ran_seconds, trainings.ran_seconds(row)) == (None, 0)


def test_a_time_is_told_also_where_the_words_are_not_understood(
    door: Door, clock: Clock, attempt_of: Callable, attempt_id: str
):
    """An end that is told in short still tells how long the script ran."""
    real = door._once

    def once(verb: str, body: dict) -> dict:
        """Break what carries the script's words."""
        if "last_lines" in body.get("evidence", {}):
            body = body | {"evidence": body["evidence"] | {"cause": "odd"}}
        return real(verb, body)

    door.run()
    clock.now += 7
    door._once = once
    door.end(Evidence(Cause.EXIT, exit_code=3, last_lines=("words",)))
    assert attempt_of(attempt_id).ran_seconds == 7


def test_who_was_heard_of_just_now_asks_nobody(attempt_id: str):
    """What is sent every few seconds waits for no controller."""
    Door("http://127.0.0.1:9", attempt_id).make_sure()


def test_who_has_slept_makes_sure(here: Platform, door: Door, attempt_id: str, monkeypatch: pytest.MonkeyPatch):
    """After a silence the controller is asked before anything is sent; who was given up meanwhile hears it there."""
    clock = [doors._now()]
    monkeypatch.setattr(doors, "_now", lambda: clock[0])
    clock[0] += doors.FRESH_SECONDS + 1
    door.make_sure()
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
    door.make_sure()  # heard of a moment ago
    clock[0] += doors.FRESH_SECONDS + 1
    with pytest.raises(GivenUp):
        door.make_sure()
    assert door.given_up.is_set()


def test_who_has_slept_sends_nothing_while_nobody_answers(attempt_id: str, monkeypatch: pytest.MonkeyPatch):
    """It is asked again, and ends nothing."""
    monkeypatch.setattr(doors, "FRESH_SECONDS", -1.0)
    door = Door("http://127.0.0.1:9", attempt_id)
    with pytest.raises(DoorClosed):
        door.make_sure()
    assert not door.given_up.is_set()
