"""A script that was stopped for longer than a lease goes on only while the attempt is still ours."""

import os
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import uvicorn

from blocks.logs.echo import Echo
from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records.tables import Attempt
from flows.controller.assign import Assigner
from flows.controller.door import app
from flows.training.ends import attempts
from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.first_failure import InstanceEnd
from flows.training.instances.door import Door, DoorClosed, GivenUp
from flows.training.instances.instance import Instance
from flows.training.instances.job import SLEEP_SECONDS
from flows.training.instances.launch import launch
from flows.training.instances.staging import stage_in
from flows.training.instances.waking import Orders, confirm

# Writes until it is enough, or until it is told to save.
WRITES = """
    import os, signal, sys, time
    def save(*_):
        open("saved", "w").close()
        sys.exit(4)
    signal.signal(signal.SIGTERM, save)
    print(os.getpid(), flush=True)
    number = 0
    with open("lines", "w", buffering=1) as file:
        while not os.path.exists("enough"):
            file.write(f"{number} {time.monotonic()}\\n")
            print(number, flush=True)
            number += 1
            time.sleep(0.01)
    """
pytestmark = pytest.mark.engine  # the launcher and scripts

SECRET, NAP, SOON = "secret", SLEEP_SECONDS + 1, 0.5


class Running:
    """A script under its launcher, in a thread of its own."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._ends: list[InstanceEnd] = []
        self._thread = threading.Thread(target=self._launch)
        self._thread.start()
        wait_for(lambda: len(instance.log.last) > 10)
        self.script = psutil.Process(int(instance.log.last[0]))
        self.launcher = self.script.parent()

    def _launch(self) -> None:
        echo, nothing, ignore = Echo(lambda _line: None, "t"), lambda: None, lambda _evidence: None
        self._ends.append(launch(self.instance, Path(sys.executable), echo, lambda: True, nothing, ignore))

    def nap(self, meanwhile: Callable[[], object] = lambda: None) -> float:
        """Stop the script and its launcher for longer than is tolerated; returns when they ran again."""
        for process in (self.launcher, self.script):
            process.suspend()
        meanwhile()
        time.sleep(NAP)
        woken = time.monotonic()
        for process in (self.script, self.launcher):
            process.resume()
        return woken

    def lines(self) -> list[tuple[int, float]]:
        """Return what the script has written to its file: numbers, and when."""
        words = [line.split() for line in (self.instance.folders.source / "lines").read_text().splitlines()]
        return [(int(number), float(at)) for number, at in words]

    def finish(self) -> Evidence:
        (self.instance.folders.source / "enough").touch()
        return self.end()

    def end(self) -> Evidence:
        self._thread.join(30)
        return self._ends[0].evidence


def wait_for(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def running(here: Platform, instance: Callable[..., Instance], tmp_path: Path) -> Iterator[Running]:
    """A script that writes, of an attempt that a real controller knows."""
    (tmp_path / "places" / "code" / "train.py").write_text(textwrap.dedent(WRITES))
    one = instance()
    stage_in(one, lambda _what, _share: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app(Assigner(here), SECRET), log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        one.door = Door(f"http://127.0.0.1:{listener.getsockname()[1]}", one.assignment.attempt_id)
        one.door.claim(verbs.claim_code(SECRET, one.assignment.attempt_id), "run-1")
        found = Running(one)
        yield found
        one.stop.set()
        found.end()
        server.should_exit = True
        thread.join(10)


def test_a_script_goes_on_where_the_attempt_is_still_ours(here: Platform, running: Running):
    """Nothing that it writes or prints is lost, and its log says what kept it."""
    woken = running.nap()
    wait_for(lambda: running.lines()[-1][1] > woken + SOON)
    assert running.finish().exit_code == 0
    numbers = [number for number, _ in running.lines()]
    assert numbers == list(range(len(numbers)))
    log = here.logs.tail(running.instance.assignment.training_id, 10**6)
    assert [line.body for line in log if line.source == "script"][1:] == [str(number) for number in numbers]
    said = [line.body for line in log if line.source == "platform"]
    assert "did not run for" in said[-3]
    assert "still ours" in said[-2]


def test_a_script_of_an_attempt_that_was_given_up_is_dead_at_once(here: Platform, running: Running):
    """Where the records have ended the attempt meanwhile, the script writes no more, and has no grace."""

    def give_up() -> None:
        with here.records.writing() as session:
            row = session.get_one(Attempt, running.instance.assignment.attempt_id)
            attempts.close(session, row, Evidence(Cause.LOST))

    woken = running.nap(give_up)
    wait_for(lambda: not running.script.is_running(), seconds=1.5)
    evidence = running.end()
    assert (evidence.cause, evidence.signal) == (Cause.STOPPED, 9)
    assert running.instance.door.given_up.is_set()
    assert running.lines()[-1][1] < woken + SOON
    assert not (running.instance.folders.source / "saved").exists()


def test_a_script_that_is_held_hears_a_stop(running: Running, monkeypatch: pytest.MonkeyPatch):
    """While the controller is away the script waits, and a stop still lets it save."""
    back = threading.Event()
    monkeypatch.setattr(running.instance.door, "confirm", lambda: back.wait(30))
    woken = running.nap()
    time.sleep(1)
    assert running.lines()[-1][1] < woken + SOON
    running.instance.stop.set()
    evidence = running.end()
    back.set()
    assert (evidence.cause, evidence.exit_code) == (Cause.STOPPED, 4)
    assert (running.instance.folders.source / "saved").exists()


@pytest.fixture
def orders() -> Iterator[tuple[Orders, int]]:
    reader, writer = os.pipe()
    with Orders(writer) as found:
        yield found, reader
    os.close(reader)


@pytest.mark.parametrize(
    ("error", "said", "given_up", "stop"),
    [
        (None, b"go on 3\n", False, False),
        (GivenUp("It has ended."), b"given up\n", True, False),
        (DoorClosed("Away for hours."), b"", False, True),
        (ValueError("odd"), b"", False, True),
    ],
)
def test_answer(instance: Callable[..., Instance], orders: tuple[Orders, int], error, said, given_up, stop):
    """The launcher hears what the controller says; where that is not to be known, the attempt ends as by a stop."""
    one, (words, reader) = instance(), orders

    def ask() -> None:
        if error:
            raise error

    one.door.confirm = ask
    confirm(one, words, 3, 60.0)
    words.__exit__()
    assert os.read(reader, 100) == said
    assert (one.door.given_up.is_set(), one.stop.is_set()) == (given_up, stop)


def test_answer_that_comes_after_the_script_ends_nothing(instance: Callable[..., Instance], orders: tuple[Orders, int]):
    """A controller that stays away for hours after the script has ended does not end what comes after."""
    one, (words, _) = instance(), orders
    words.__exit__()

    def ask() -> None:
        raise DoorClosed("Away for hours.")

    one.door.confirm = ask
    confirm(one, words, 1, 60.0)
    assert not one.stop.is_set()
    assert not words.say("go on 1")
