"""From a real script into the log."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from blocks.logs import Capture, InstanceLog, LocalLogs, LocalSink, LogLine
from blocks.logs.echo import Echo
from blocks.logs.errors import LogInUse, LogStoreAway


class Script:
    """A Python program whose output is captured."""

    def __init__(self, program: str, log: InstanceLog) -> None:
        reading, writing = os.pipe()
        self.shown: list[str] = []
        self.process = subprocess.Popen([sys.executable, "-c", program], stdout=writing, stderr=writing)
        os.close(writing)
        self.echo = Echo(self.shown.append, "mnist")
        self.capture = Capture(reading, log, self.echo)


@pytest.fixture
def log(tmp_path: Path) -> InstanceLog:
    return InstanceLog(LocalSink(tmp_path, "t-1", 1, 0), "t-1", 1, 0)


def stored(home: Path) -> list[LogLine]:
    return LocalLogs(home).read("t-1", limit=10**7)[0]


def test_20_000_lines(tmp_path: Path, log: InstanceLog) -> None:
    """20,000 lines in one go are all there, in order and without a gap; 50 a second of them are shown."""
    began = time.monotonic()
    script = Script("for n in range(20_000): print(f'step {n}: loss=0.123456 accuracy=0.98 and some more')", log)
    assert script.process.wait(60) == 0
    script.capture.finish(30)
    script.echo.finish()
    seconds = time.monotonic() - began
    log.close()
    lines = stored(tmp_path)
    assert [line.sequence for line in lines] == list(range(1, 20_001))
    assert all(line.body.startswith(f"step {n}: ") for n, line in enumerate(lines))
    assert len(script.shown) <= 51 * (seconds + 1)
    assert "lines left out here; all of them are in `emf training logs mnist`" in script.shown[-1]


def test_seen_while_it_runs(tmp_path: Path, log: InstanceLog) -> None:
    """A line can be read half a second after it was written, text without an end after a second more."""
    program = "import sys, time; print('first', flush=True); print('half', end='', flush=True); sys.stdin.read()"
    script = Script(f"import time\n{program.replace('sys.stdin.read()', 'time.sleep(600)')}", log)
    deadline = time.monotonic() + 15
    while len(stored(tmp_path)) < 2 or len(script.shown) < 2:  # shown once it is stored
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first, half = stored(tmp_path)
    assert (first.body, half.body) == ("first", "half")
    assert (half.time - first.time).total_seconds() > 0.9
    assert script.shown == ["first", "half"]
    script.process.kill()
    script.process.wait(10)
    script.capture.finish(5)


def test_hostile_output(tmp_path: Path, log: InstanceLog) -> None:
    """A megabyte without a line feed, bytes that are no text and a progress bar are each stored as they should."""
    program = (
        "import sys; w = sys.stdout.buffer.write; w(b'y' * 1_000_000 + b'\\n'); w(b'\\xff\\0{\"body\":1}\\n');"
        "[w(b'\\r%d%%' % n) for n in range(1000)]; w(b'\\nend')"
    )
    script = Script(program, log)
    script.process.wait(30)
    script.capture.finish(10)
    lines = stored(tmp_path)
    long = [line for line in lines if line.piece]
    assert "".join(line.body for line in long) == "y" * 1_000_000
    assert [line.piece for line in long] == list(range(1, len(long) + 1))
    rest = [line.body for line in lines[len(long) :]]
    assert (rest[0], rest[-2:]) == ('�\0{"body":1}', ["999%", "end"])
    assert len(rest) <= 5


def test_a_process_that_got_away(tmp_path: Path, log: InstanceLog) -> None:
    """A child that still holds the pipe does not hold up the end, and what was written before it is there."""
    program = "import subprocess, sys; subprocess.Popen(['sleep', '20']); print('last words')"
    script = Script(program, log)
    script.process.wait(10)
    began = time.monotonic()
    script.capture.finish(0.5)
    assert time.monotonic() - began < 5
    assert [line.body for line in stored(tmp_path)] == ["last words"]


class Fragile:
    """A sink that cannot be written for a while, or ever."""

    next_sequence = 1

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error = failures, error
        self.lines: list[LogLine] = []

    def write(self, lines: Sequence[LogLine]) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise self.error
        self.lines.extend(lines)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def test_a_store_that_comes_back() -> None:
    """While the store is away the script waits; then every line is there, numbered without a gap."""
    sink = Fragile(3, LogStoreAway("disk full"))
    script = Script("for n in range(20_000): print(n)", InstanceLog(sink, "t-1", 1, 0))
    script.process.wait(30)
    script.capture.finish(30)
    assert [(line.sequence, line.body) for line in sink.lines] == [(n + 1, str(n)) for n in range(20_000)]


def test_a_store_that_is_lost() -> None:
    """A store that never takes lines does not hold the script up for ever, and the end says what happened."""
    sink = Fragile(10**9, LogInUse("another writer"))
    script = Script("for n in range(20_000): print(n)", InstanceLog(sink, "t-1", 1, 0))
    assert script.process.wait(30) == 0
    with pytest.raises(LogInUse, match="another writer"):
        script.capture.finish(10)


def test_showing_fails(tmp_path: Path, log: InstanceLog) -> None:
    """When what shows the lines breaks, they are stored all the same."""
    reading, writing = os.pipe()

    def broken(_: str) -> None:
        raise RuntimeError("no log server")

    capture = Capture(reading, log, Echo(broken, "mnist"))
    os.write(writing, b"a\n" * 1000)
    os.close(writing)
    capture.finish(10)
    assert len(stored(tmp_path)) == 1000
