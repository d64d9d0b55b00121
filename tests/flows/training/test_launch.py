"""A script under the real launcher: how it ends, and what may go wrong beside it without ending it."""

import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from blocks.logs.echo import Echo
from blocks.logs.errors import LogStoreAway
from blocks.logs.line import LogLine
from blocks.records.words import Wish
from flows.training.instance import Instance
from flows.training.launch import launch
from flows.training.staging import stage_in
from flows.training.verdict import Cause, Evidence

PYTHON = Path(sys.executable)
SAVES = """
    import pathlib, signal, sys, time
    def save(*_):
        time.sleep(0.3)
        pathlib.Path("saved").touch()
        sys.exit(0)
    signal.signal(signal.SIGTERM, save)
    print("ready", flush=True)
    time.sleep(60)
    """


@pytest.fixture
def running(instance: Callable[..., Instance], tmp_path: Path) -> Callable[[str], Instance]:
    """Stage a script in; it only has to be launched."""

    def made(script: str) -> Instance:
        (tmp_path / "places" / "code" / "train.py").write_text(textwrap.dedent(script))
        one = instance()
        stage_in(one, lambda _what, _share: None)
        return one

    return made


@pytest.fixture
def echo() -> Echo:
    return Echo(lambda _line: None, "t")


def when_ready(one: Instance, do: Callable[[], object]) -> threading.Thread:
    """Do something once the script has said that it is ready."""

    def wait() -> None:
        deadline = time.monotonic() + 20
        while "ready" not in one.log.last and time.monotonic() < deadline:
            time.sleep(0.02)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def ignore(_evidence: Evidence) -> None:
    """How it ended is looked at elsewhere."""


def told(one: Instance) -> bool:
    one.door.run()
    return True


def test_a_scripts_own_end(running: Callable[[str], Instance], echo: Echo):
    """Exit code, last lines and memory are the script's; that it ran was told once, however quick it was."""
    one = running("import sys\nprint('words')\nsys.exit(3)")
    evidence = launch(one, PYTHON, echo, lambda: told(one), ignore)
    assert (evidence.cause, evidence.exit_code, evidence.last_lines) == (Cause.EXIT, 3, ("words",))
    assert one.door.runs == 1


def test_a_stop_lets_the_script_save(running: Callable[[str], Instance], echo: Echo):
    """A wish ends it within its grace, and what it saves is there when the launch returns."""
    one = running(SAVES)
    when_ready(one, lambda: setattr(one.door, "wish", Wish.STOP))
    assert launch(one, PYTHON, echo, lambda: told(one), ignore).cause == Cause.STOPPED
    assert (one.folders.source / "saved").exists()


def test_a_full_disk_does_not_stop_the_stop(running: Callable[[str], Instance], echo: Echo):
    """What the platform cannot say any more neither keeps SIGTERM from the script nor makes its end another."""
    one = running(SAVES)
    write = one.log._sink.write

    def full(lines: Sequence[LogLine]) -> None:
        if any(line.source == "platform" for line in lines):
            raise LogStoreAway("No space left on device.")
        write(lines)

    one.log._sink.write = full
    one.say("running")
    when_ready(one, one.stop.set)
    assert launch(one, PYTHON, echo, lambda: told(one), ignore).cause == Cause.STOPPED
    assert (one.folders.source / "saved").exists()


def test_no_script_outlives_its_launch(running: Callable[[str], Instance], echo: Echo):
    """Where the platform itself fails beside it, the script has ended, and saved, before that is known."""
    one = running(SAVES)

    def fail() -> bool:
        if "ready" not in one.log.last:
            return False
        raise KeyError("odd")

    with pytest.raises(KeyError, match="odd"):
        launch(one, PYTHON, echo, fail, ignore)
    assert (one.folders.source / "saved").exists()


def test_a_launcher_that_says_nothing_is_the_platforms_fault(running: Callable[[str], Instance], echo: Echo):
    """Its exit code is in the evidence."""
    evidence = launch(running("pass"), Path("/bin/false"), echo, lambda: True, ignore)
    assert evidence.cause == Cause.PLATFORM
    assert "ended with 1" in evidence.error
