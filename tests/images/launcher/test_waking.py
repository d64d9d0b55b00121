"""A launcher that has slept holds its script until the run has said whether it may go on."""

import os
import signal
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.launcher.proc import process
from images.launcher.waking import Clocks, slept_seconds

TOLERATED, NAP = 1.0, 1.5
SOON = 0.5  # a script that runs again when its launcher wakes is stopped by then
# Writes as fast as it can, in a process of its own session for each name, until somebody puts a file there.
WRITES = """
    def write(name):
        with open(name, "w", buffering=1) as file:
            number = 0
            while not os.path.exists("enough"):
                file.write(f"{number} {time.monotonic()}\\n")
                number += 1
                time.sleep(0.001)
    for name in NAMES[1:]:
        if os.fork() == 0:
            os.setsid()
            write(name)
            os._exit(0)
    print("ready")
    write(NAMES[0])
    print("done")
    """
NAMES = ["main", "worker-1", "worker-2"]
SAVES = 'signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit(3)))'


def script(names: Sequence[str] = NAMES, before: str = "") -> str:
    return f"""
    import os, signal, sys, time
    {before}
    NAMES = {list(names)!r}
    {WRITES}"""


def pids(one) -> list[int]:
    return [one.process.pid, *one.alive()]


def nap(pids: Sequence[int], seconds: float = NAP) -> float:
    """Stop processes for a while, and let them run again in an order that favours the last; returns when that was."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    woken = time.monotonic()
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    return woken


def lines(one, name: str) -> list[tuple[int, float]]:
    """Return what a process of the script has written: numbers, and when."""
    words = [line.split() for line in (one.folder / name).read_text().splitlines()]
    return [(int(number), float(at)) for number, at in words]


def is_held(one) -> bool:
    """Say whether the script lives, and no process of it runs."""
    return {found.state for pid in one.alive() if (found := process(pid))} == {"T"}


def begin(launch, text: str, **job):
    one = launch(text, **{"sleep_seconds": TOLERATED} | job)
    one.printed("ready")
    time.sleep(0.3)
    return one


def finish(one) -> dict:
    (one.folder / "enough").touch()
    return one.end()


def test_script_goes_on_where_the_attempt_is_still_ours(launch, hear, until):
    """All were stopped: they wait for the answer, then go on, and not a line is lost."""
    one = begin(launch, script())
    woken = nap(pids(one))
    woke = hear(one, "woke")
    assert NAP - 0.2 < woke["seconds"] < NAP + 2
    until(lambda: is_held(one))
    time.sleep(0.5)
    assert is_held(one)
    asked = time.monotonic()
    one.send(f"go on {woke['question']}\n".encode())
    until(lambda: lines(one, "worker-2")[-1][1] > asked)
    assert finish(one)["exit_code"] == 0
    assert one.output == "ready\ndone\n"
    for name in NAMES:
        written = lines(one, name)
        assert [number for number, _ in written] == list(range(len(written)))
        assert not [at for _, at in written if woken + SOON < at < asked]


def test_script_of_a_given_up_attempt_is_dead_at_once(launch, hear, until):
    """All were stopped, and the attempt is another's by now: nothing is written any more, and all are soon dead."""
    one = begin(launch, script())
    woken = nap(pids(one))
    hear(one, "woke")
    one.send(b"given up\n")
    until(lambda: not one.alive(), seconds=1)
    assert one.process.wait(5) == 0
    end = hear(one, "ended")
    assert (end["cause"], end["signal"], end["survivors"]) == ("stopped", signal.SIGKILL, 0)
    assert max(at for name in NAMES for _, at in lines(one, name)) < woken + SOON


def test_launcher_alone_was_stopped(launch, hear, until):
    """Its script ran on meanwhile, and is held all the same by the time that the run is asked."""
    one = begin(launch, script())
    woken = nap([one.process.pid])
    woke = hear(one, "woke")
    assert is_held(one)
    one.send(f"go on {woke['question']}\n".encode())
    until(lambda: lines(one, "main")[-1][1] > woken + SOON)
    assert finish(one)["exit_code"] == 0


def test_script_alone_was_stopped(launch, until):
    """That is nobody's sleep: whoever stopped it may let it go on, and nothing is asked."""
    one = begin(launch, script())
    woken = nap(one.alive())
    until(lambda: lines(one, "main")[-1][1] > woken)
    (one.folder / "enough").touch()
    assert "woke" not in [event["event"] for event in one.events()]


def test_what_is_let_run_by_others_is_stopped_again(launch, hear, until):
    """While a script is held, whoever continues it does so for moments only."""
    one = begin(launch, script())
    nap([one.process.pid])
    hear(one, "woke")
    until(lambda: is_held(one))
    for pid in one.alive():
        os.kill(pid, signal.SIGCONT)
    woken = time.monotonic()
    until(lambda: is_held(one), 2)
    time.sleep(1)
    assert max(at for name in NAMES for _, at in lines(one, name)) < woken + SOON


def test_answer_from_before_another_sleep_does_not_count(launch, hear, until):
    """Only the answer to the latest question lets the script go on."""
    one = begin(launch, script())
    nap([one.process.pid])
    first = hear(one, "woke")["question"]
    nap([one.process.pid])
    second = hear(one, "woke")["question"]
    one.send(f"go on {first}\n".encode())
    time.sleep(0.5)
    assert is_held(one)
    one.send(f"go on {second}\n".encode())
    assert finish(one)["exit_code"] == 0


ENDINGS = {"stopped": lambda one: one.stop(), "orphaned": lambda one: one.process.stdin.close(), "deadline": None}


@pytest.mark.parametrize("cause", ENDINGS)
def test_script_that_is_held_is_ended_as_ever(launch, hear, cause):
    """A stop, the run's death and the deadline need no answer: the script runs again, and saves."""
    one = begin(launch, script(["main"], SAVES), deadline_seconds=3.5 if cause == "deadline" else 0)
    nap([one.process.pid])
    hear(one, "woke")
    if ENDINGS[cause]:
        ENDINGS[cause](one)
    end = one.end()
    assert (end["cause"], end["exit_code"]) == (cause, 3)
    assert one.output == "ready\nsaved\n"


def test_memory_that_grew_meanwhile_is_found_on_waking(launch):
    """A held script that has too much memory is not kept for the answer."""
    text = """
        import time
        print("ready")
        time.sleep(0.8)
        block = bytearray(b"x") * (300 << 20)
        time.sleep(600)
        """
    one = begin(launch, text, memory_bytes=200 << 20)
    nap([one.process.pid])
    assert one.end()["cause"] == "memory"


@pytest.mark.parametrize("job", [{}, {"sleep_seconds": 0}], ids=["short", "never"])
def test_a_pause_that_is_tolerated_is_not_asked_about(launch, until, job):
    """A launcher that was away for less than it may, or that may always, lets its script run."""
    one = begin(launch, script(["main"]), **job)
    woken = nap([one.process.pid], NAP if job else TOLERATED / 2)
    until(lambda: lines(one, "main")[-1][1] > woken + SOON)
    (one.folder / "enough").touch()
    assert "woke" not in [event["event"] for event in one.events()]


def test_script_that_starts_processes_all_the_time_is_held(launch, hear, until):
    """Processes that each start the next and exit do not get away."""
    one = begin(
        launch,
        """
        import os, time
        print("ready")
        if os.fork():
            os.wait()
            time.sleep(600)
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
            with open("main", "a") as file:
                file.write(f"0 {time.monotonic()}\\n")
        """,
    )
    nap([one.process.pid])
    hear(one, "woke")
    until(lambda: time.monotonic() - lines(one, "main")[-1][1] > 1)


@pytest.mark.parametrize(
    ("elapsed", "worked", "tolerated", "expected"),
    [
        (0.1, 0.0, 4.0, 0.0),
        (4.0, 0.0, 4.0, 0.0),
        (60.0, 0.0, 4.0, 60.0),
        (60.0, 59.0, 4.0, 0.0),
        (60.0, 10.0, 4.0, 50.0),
        (60.0, 0.0, 0.0, 0.0),
    ],
    ids=["tick", "just tolerated", "sleep", "a long sample", "both", "never"],
)
def test_slept_seconds(elapsed, worked, tolerated, expected):
    """Sleep is time in which nothing was worked, and more than is tolerated."""
    assert slept_seconds(Clocks(7.0, 3.0), Clocks(7.0 + elapsed, 3.0 + worked), tolerated) == pytest.approx(expected)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 100))
def test_more_work_is_never_more_sleep(elapsed, worked, tolerated):
    """Whatever the clocks say, sleep is no longer than what has elapsed, and work only makes it less."""
    start = Clocks(0.0, 0.0)
    slept = slept_seconds(start, Clocks(elapsed, worked), tolerated)
    assert 0 <= slept <= elapsed
    assert slept_seconds(start, Clocks(elapsed, worked + 1), tolerated) <= slept
