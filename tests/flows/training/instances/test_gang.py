"""Two instances of one attempt under real launchers."""

import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.exceptions import TerminationSignal

from blocks.hosts import loopback
from blocks.logs import LocalSink
from blocks.platform import Platform
from blocks.records.words import Wish
from flows.training.checkpoints.keeper import STILL_TOGETHER_SECONDS
from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.first_failure import is_success
from flows.training.instances import gang
from flows.training.instances import launch as launching
from flows.training.instances.contract import Rank
from flows.training.instances.door import GivenUp
from flows.training.instances.gang import run_together
from flows.training.instances.instance import Instance, ScriptLog
from flows.training.instances.staging import stage_in

PYTHONS = [Path(sys.executable)] * 2
# Each leaves a file where the other one sees it, and begins once both are there; when it is ended it saves.
MEET = """
    import os, pathlib, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), print("saved"), sys.exit(1)))
    rank, here = int(os.environ["RANK"]), pathlib.Path(os.environ["EM_DATASET_DIGITS"]).parents[2]
    (here / f"here-{rank}").touch()
    while not (here / f"here-{1 - rank}").exists():
        time.sleep(0.02)
    print("ready", rank, flush=True)
    """
Pair = Callable[[str], list[Instance]]


@pytest.fixture
def pair(here: Platform, instance: Callable[..., Instance], tmp_path: Path) -> Iterator[Pair]:
    """Both instances of an attempt, staged in with a script that begins once both run."""
    logs: list[ScriptLog] = []

    def made(script: str) -> list[Instance]:
        code = textwrap.dedent(MEET) + textwrap.dedent(script)
        (tmp_path / "places" / "code" / "train.py").write_text(code)
        first = instance(instance_count=2)
        first.rank = Rank(0, 2, ("127.0.0.1", "127.0.0.1"))
        training_id = first.assignment.training_id
        log = ScriptLog(LocalSink(here.settings.home, training_id, 1, 1), training_id, 1, 1)
        logs.append(log)
        second = replace(first, rank=replace(first.rank, index=1), root=first.root.with_name("instance-1"), log=log)
        for one in (first, second):
            stage_in(one, lambda _what, _share: None)
        return [first, second]

    yield made
    for log in logs:
        log.close()


def nothing() -> None:
    pass


def run(
    pair: Sequence[Instance],
    tmp_path: Path,
    show: Callable[[str], None] = lambda _: None,
    succeeded: Callable[[], None] = nothing,
) -> Evidence:
    evidence, was_signalled = run_together(pair, PYTHONS, tmp_path / "mirror", show, succeeded)
    assert not was_signalled
    return evidence


def when_ready(pair: Sequence[Instance], do: Callable[[], object]) -> None:
    """Do something once both scripts have said that they are ready."""

    def wait() -> None:
        deadline = time.monotonic() + 20
        while not all(one.log.last for one in pair) and time.monotonic() < deadline:
            time.sleep(0.02)
        do()

    threading.Thread(target=wait).start()


def test_both_run_and_end_well(pair: Pair, tmp_path: Path):
    """They run at the same time, each with its rank; that the attempt runs was told once."""
    both = pair("")
    assert is_success(run(both, tmp_path))
    assert [list(one.log.last) for one in both] == [["ready 0"], ["ready 1"]]
    assert both[0].door.runs == 1


def test_they_meet_at_ports_that_are_free(pair: Pair, tmp_path: Path):
    """The ports are chosen as they start, one for each, the same for both; each instance can listen at its own."""
    both = pair("""
        import socket
        socket.create_server(("", int(os.environ["MASTER_PORT"]) + rank))
        print(os.environ["MASTER_PORT"])
        """)
    assert is_success(run(both, tmp_path))
    ports = {one.log.last[-1] for one in both}
    assert ports == {str(both[0].rank.port)}
    assert both[0].rank.port in loopback.IN_A_ROW
    assert loopback.can_bind(both[1].rank.port + 1)


def test_the_first_that_fails_ends_the_other(pair: Pair, tmp_path: Path):
    """The evidence is of the one that failed by itself; the other was ended and could save."""
    both = pair("""
        if rank == 1:
            print("odd data")
            sys.exit(7)
        time.sleep(60)
        """)
    evidence = run(both, tmp_path)
    assert (evidence.cause, evidence.exit_code, evidence.last_lines[-1]) == (Cause.EXIT, 7, "odd data")
    assert "saved" in both[0].log.last


def test_the_other_is_ended_at_once(pair: Pair, tmp_path: Path):
    """It neither waits for what the first to fail leaves behind, nor does its own failure meanwhile count."""
    both = pair("""
        if rank == 1:
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(60)
            time.sleep(0.3)
            sys.exit(7)
        time.sleep(1.5)
        sys.exit(3)
        """)
    evidence = run(both, tmp_path)
    assert (evidence.cause, evidence.exit_code) == (Cause.EXIT, 7)
    assert "saved" in both[0].log.last


def test_a_stop_ends_both(pair: Pair, tmp_path: Path):
    """A wish is obeyed by all instances."""
    both = pair("time.sleep(60)")
    when_ready(both, lambda: setattr(both[0].door, "wish", Wish.STOP))
    assert run(both, tmp_path).cause == Cause.STOPPED


@pytest.fixture
def prefects_handler() -> Iterator[None]:
    """SIGTERM raises in the main thread, as in a run of Prefect's."""

    def raise_it(number: int, _frame: object) -> None:
        raise TerminationSignal(signal=number)

    before = signal.signal(signal.SIGTERM, raise_it)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("prefects_handler")
def test_a_signal_ends_both_once(pair: Pair, tmp_path: Path):
    """Both save within their grace, however often it is sent, and it is told that it was a signal."""
    both = pair("time.sleep(60)")

    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)

    when_ready(both, twice)
    evidence, was_signalled = run_together(both, PYTHONS, tmp_path / "mirror", lambda _: None, nothing)
    assert (evidence.cause, was_signalled) == (Cause.STOPPED, True)
    assert [one.log.last[-1] for one in both] == ["saved", "saved"]


def test_an_attempt_that_was_given_up_ends(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the records say so as the script starts, it is ended, and all is known of that."""
    both = pair("time.sleep(60)")

    def refuse() -> None:
        raise GivenUp("This attempt has ended.")

    monkeypatch.setattr(both[0].door, "run", refuse)
    assert run(both, tmp_path).cause == Cause.STOPPED
    assert both[0].door.given_up.is_set()


def test_both_share_what_is_shown(pair: Pair, tmp_path: Path):
    """Two that print much show no more lines than one."""
    shown: list[str] = []
    began = time.monotonic()
    run(pair("for n in range(2000): print(n)"), tmp_path, shown.append)
    assert len(shown) <= 51 * (time.monotonic() - began + 1)
    assert sum("left out here" in line for line in shown) >= 1


@pytest.mark.parametrize("what", ["uploads", "log"])
def test_success_is_told_before_anything_is_waited_for(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    """While the last uploads, or what is left of a log, hang, it is told already that all ended well: once."""
    told, waited = threading.Event(), list[bool]()
    of, name = {"uploads": (gang.Uploads, "finish"), "log": (launching.Capture, "finish")}[what]
    finish = getattr(of, name)

    def hang(self: object, *given: object, **how: object) -> object:
        waited.append(told.wait(20))
        return finish(self, *given, **how)

    monkeypatch.setattr(of, name, hang)
    calls: list[str] = []
    assert is_success(run(pair(""), tmp_path, succeeded=lambda: (calls.append("told"), told.set())[0]))
    assert waited
    assert all(waited)
    assert calls == ["told"]


def test_success_is_not_told_where_one_failed(pair: Pair, tmp_path: Path):
    """One instance that ended well is no success of the attempt's."""
    told: list[str] = []
    evidence = run(pair("sys.exit(rank)"), tmp_path, succeeded=lambda: told.append("told"))
    assert (evidence.exit_code, told) == (1, [])


def test_scripts_that_cannot_be_watched_are_not_started(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where what they leave cannot be uploaded, that is the platform's fault."""

    class Unwatched(gang.Uploads):
        def __init__(self, instances: Sequence[Instance], mirrored: Path) -> None:
            raise OSError("Too many open files.")

    monkeypatch.setattr(gang, "Uploads", Unwatched)
    both = pair("")
    assert run(both, tmp_path) == Evidence(Cause.PLATFORM, error="OSError: Too many open files.")
    assert [list(one.log.last) for one in both] == [[], []]


@pytest.mark.parametrize("who", ["os.getpid()", "os.getppid()"], ids=["script", "launcher"])
def test_what_was_being_written_at_a_kill_is_no_checkpoint(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
):
    """However long its log is waited for: it seems to rest then, and no process has it open any more."""
    both = pair(f"""
        if rank == 0:
            file = open(os.path.join(os.environ["EM_CHECKPOINT_DIR"], "state"), "wb")
            file.write(b"half")
            file.flush()
            os.kill({who}, signal.SIGKILL)
        time.sleep(60)
        """)
    finish = launching.Capture.finish

    def slow(self: launching.Capture, within: float) -> None:
        time.sleep(STILL_TOGETHER_SECONDS + 3)
        finish(self, within)

    monkeypatch.setattr(launching.Capture, "finish", slow)
    told: list[object] = []
    monkeypatch.setattr(both[0].door, "checkpoint", told.append)
    assert not is_success(run(both, tmp_path))
    assert told == []
