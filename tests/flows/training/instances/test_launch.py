"""A script under the real launcher: how it ends, and what may go wrong beside it without ending it."""

import math
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from blocks.logs import LocalLogs
from blocks.logs.echo import Echo
from blocks.logs.errors import LogStoreAway
from blocks.logs.line import LogLine
from blocks.platform import Platform
from blocks.records.words import Reason, Wish
from flows.training.ends.evidence import Cause
from flows.training.ends.first_failure import InstanceEnd
from flows.training.ends.verdict import decide
from flows.training.instances import launch as launching
from flows.training.instances.instance import Instance
from flows.training.instances.launch import launch
from flows.training.instances.staging import stage_in

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


def launched(
    one: Instance, echo: Echo, started: Callable[[], bool] | None = None, failed: Callable[[], None] = lambda: None
) -> InstanceEnd:
    def told() -> bool:
        one.door.run()
        return True

    return launch(one, PYTHON, echo, started or told, failed, lambda _evidence: None)


def test_a_scripts_own_end(running: Callable[[str], Instance], echo: Echo):
    """Exit code, last lines and memory are the script's; that it ran was told once, however quick it was."""
    one = running("import sys\nprint('words')\nsys.exit(3)")
    evidence = launched(one, echo).evidence
    assert (evidence.cause, evidence.exit_code, evidence.last_lines) == (Cause.EXIT, 3, ("words",))
    assert one.door.runs == 1


def test_the_log_says_when_it_starts_and_how_it_ended(here: Platform, running: Callable[[str], Instance], echo: Echo):
    """Around the script's own lines, in their order."""
    one = running("import sys\nprint('words')\nsys.exit(3)")
    launched(one, echo)
    lines = [line.body for line in LocalLogs(here.settings.home).tail(one.assignment.training_id, 3)]
    assert lines == ["starting the script", "words", "The script ended with exit code 3"]


def test_a_stop_lets_the_script_save(running: Callable[[str], Instance], echo: Echo):
    """A wish ends it within its grace, and what it saves is there when the launch returns."""
    one = running(SAVES)
    when_ready(one, lambda: setattr(one.door, "wish", Wish.STOP))
    assert launched(one, echo).evidence.cause == Cause.STOPPED
    assert (one.folders.source / "saved").exists()


def test_what_a_script_leaves_to_be_killed_is_counted(running: Callable[[str], Instance], echo: Echo):
    """Its main process ends well, and what still writes for it does not hear SIGTERM: that may have been writing."""
    one = running("""
        import signal, subprocess, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-u", "-c", deaf])
        signal.pause()
        """)
    when_ready(one, one.stop.set)
    end = launched(one, echo)
    assert (end.evidence.exit_code, end.killed) == (0, 1)


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
    assert launched(one, echo).evidence.cause == Cause.STOPPED
    assert (one.folders.source / "saved").exists()


def test_no_script_outlives_its_launch(running: Callable[[str], Instance], echo: Echo):
    """Where the platform itself fails beside it, the script has ended, and saved, before that is known."""
    one = running(SAVES)

    def fail() -> bool:
        if "ready" not in one.log.last:
            return False
        raise KeyError("odd")

    with pytest.raises(KeyError, match="odd"):
        launched(one, echo, fail)
    assert (one.folders.source / "saved").exists()


def test_a_launcher_that_says_nothing_is_the_platforms_fault(running: Callable[[str], Instance], echo: Echo):
    """Its exit code is in the evidence."""
    one, nothing = running("pass"), lambda: None
    evidence = launch(one, Path("/bin/false"), echo, lambda: True, nothing, lambda _evidence: None).evidence
    assert evidence.cause == Cause.PLATFORM
    assert "ended with 1" in evidence.error


@pytest.mark.parametrize(
    ("script", "cause", "number"),
    [("print('ready', flush=True)", Cause.EXIT, signal.SIGKILL), ("", Cause.STOPPED, None)],
)
def test_a_launcher_that_is_killed_is_no_fault_of_the_platform(
    running: Callable[[str], Instance], tmp_path: Path, echo: Echo, script: str, cause: Cause, number: int | None
):
    """Who kills it kills the script with it, which is tried again as one that was killed itself; or it never began."""
    one = running(f"{script}\nimport time\ntime.sleep(600)")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {PYTHON} "$@"' if script else "#!/bin/sh\nkill -9 $$")
    python.chmod(0o755)
    if script:
        when_ready(one, lambda: [process.kill() for process in psutil.Process().children()])
    evidence = launch(one, python, echo, lambda: True, lambda: None, lambda _evidence: None).evidence
    assert (evidence.cause, evidence.signal) == (cause, number)
    assert decide(evidence, Wish.NONE).reason == Reason.INTERRUPTED


LEAVES_A_DAEMON = """
    import os, signal, sys, time
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    time.sleep(0.3)
    """


def test_a_failure_is_told_before_what_the_script_leaves_is_ended(running: Callable[[str], Instance], echo: Echo):
    """Others hear at once of a main process that failed, its end is of that moment, and nobody had told it to end."""
    told: list[float] = []
    end = launched(running(LEAVES_A_DAEMON + "sys.exit(5)"), echo, failed=lambda: told.append(time.monotonic()))
    assert (end.evidence.exit_code, end.told_at) == (5, math.inf)
    assert end.at <= told[0] < end.at + 0.1
    assert time.monotonic() - end.at > 1


def test_a_success_is_no_failure(running: Callable[[str], Instance], echo: Echo):
    """Of a script that ends well nobody is told that it failed."""
    told: list[str] = []
    assert launched(running("pass"), echo, failed=lambda: told.append("failed")).evidence.exit_code == 0
    assert told == []


def test_when_a_script_was_told_to_end(running: Callable[[str], Instance], echo: Echo):
    """It is known since when its end is our doing."""
    one, stopped = running(SAVES), list[float]()
    when_ready(one, lambda: (stopped.append(time.monotonic()), one.stop.set()))
    end = launched(one, echo)
    assert stopped[0] <= end.told_at < end.at


def test_a_failure_of_its_own_is_no_stop(running: Callable[[str], Instance], echo: Echo):
    """Where a script's failure stops its attempt, its own launcher still ends what it leaves, and says so."""
    one = running(LEAVES_A_DAEMON + "sys.exit(5)")
    end = launched(one, echo, failed=one.stop.set)
    assert (end.evidence.cause, end.evidence.exit_code, end.told_at) == (Cause.EXIT, 5, math.inf)


def test_a_script_of_a_given_up_attempt_gets_no_grace(running: Callable[[str], Instance], echo: Echo):
    """It is killed as soon as that is known: what it would save does not count."""
    one = running(SAVES)
    when_ready(one, one.door.given_up.set)
    evidence = launched(one, echo).evidence
    assert (evidence.cause, evidence.signal) == (Cause.STOPPED, signal.SIGKILL)
    assert not (one.folders.source / "saved").exists()


def test_a_launcher_that_is_stopped_before_it_listens_is_no_fault(running: Callable[[str], Instance], echo: Echo):
    """It dies of the signal that it was told to end by, and that is a stop as any other."""
    one = running("import time; time.sleep(60)")
    one.stop.set()
    assert launched(one, echo).evidence.cause == Cause.STOPPED


def test_a_launcher_that_hangs_once_its_script_has_ended_is_killed(
    running: Callable[[str], Instance], echo: Echo, monkeypatch: pytest.MonkeyPatch
):
    """How the script ended was told by then, and nothing waits for longer than what it leaves may take."""
    monkeypatch.setattr(launching, "OVERDUE_SECONDS", 1.0)
    one = running(LEAVES_A_DAEMON + "sys.exit(5)")

    def hang() -> None:
        for child in psutil.Process().children():
            with suppress(psutil.Error):  # another child is just ending
                if "launcher" in " ".join(child.cmdline()):
                    child.suspend()

    evidence = launched(one, echo, failed=hang).evidence
    for left in psutil.process_iter():
        with suppress(psutil.Error):
            if left.environ().get("EMF_ATTEMPT") == one.assignment.attempt_id:
                left.kill()
    assert (evidence.cause, evidence.exit_code) == (Cause.EXIT, 5)
