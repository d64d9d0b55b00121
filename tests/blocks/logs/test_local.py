"""Logs in files: written, repaired, read, followed."""

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.errors import Permanent, Temporary
from blocks.logs import InstanceLog, LocalLogs, LocalSink, LogLine
from blocks.logs.errors import BadLogId, LogInUse, LogStoreAway
from blocks.logs.local import file_of

MOMENT = datetime(2026, 11, 3, 12, 0, 0, 0, UTC)


def line(second: float, sequence: int, attempt: int = 1, instance: int = 0) -> LogLine:
    return LogLine(MOMENT + timedelta(seconds=second), f"{second}", "t-1", attempt, instance, sequence)


def store(home: Path, *lines: LogLine) -> None:
    for one in lines:
        sink = LocalSink(home, one.training_id, one.attempt, one.instance)
        sink.write([one])
        sink.close()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Lines of the script and of the platform come back in order, numbered from 1; the file is this user's alone."""
    log = InstanceLog(LocalSink(tmp_path, "t-1", 1, 0), "t-1", 1, 0)
    log.say("staging in\n3 files")
    log.write([("훈련", 0), ("part", 1)])
    log.close()
    lines, _ = LocalLogs(tmp_path).read("t-1")
    assert [(one.sequence, one.body, one.source, one.piece) for one in lines] == [
        (1, "staging in", "platform", 0),
        (2, "3 files", "platform", 0),
        (3, "훈련", "script", 0),
        (4, "part", "script", 1),
    ]
    assert abs((datetime.now(UTC) - lines[0].time).total_seconds()) < 10
    assert file_of(tmp_path, "t-1", 1, 0).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "torn", [b'{"time":"2026-11', b"\0" * 5000, b'{"time":3}\n', b"x" * 3_000_000, b"\n\n", b"what?\n" * 20_000]
)
def test_repair(tmp_path: Path, torn: bytes) -> None:
    """What a dying machine left at the end is cut off, the whole lines stay, and the numbers go on."""
    store(tmp_path, line(0, 1), line(1, 2))
    file = file_of(tmp_path, "t-1", 1, 0)
    sound = file.read_bytes()
    file.write_bytes(sound + torn)
    sink = LocalSink(tmp_path, "t-1", 1, 0)
    assert file.read_bytes() == sound
    assert sink.next_sequence == 3
    sink.close()


def test_repair_of_a_file_without_a_line(tmp_path: Path) -> None:
    """A file that has only half a line begins anew."""
    file = file_of(tmp_path, "t-1", 1, 0)
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"time":')
    sink = LocalSink(tmp_path, "t-1", 1, 0)
    assert (sink.next_sequence, file.read_bytes()) == (1, b"")
    sink.close()


WRITER = """
import sys
from pathlib import Path
from blocks.logs import InstanceLog, LocalSink
log = InstanceLog(LocalSink(Path(sys.argv[1]), "t-1", 1, 0), "t-1", 1, 0)
for n in range(1_000_000):
    log.write([(f"{n} " + "x" * 500, 0)] * 20)
    print(n, flush=True)
"""


def test_killed_writers(tmp_path: Path) -> None:
    """After three kill -9 while writing, every acknowledged line is there, and the numbers have no gap."""
    acknowledged = 0
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout
        for _ in range(50):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged += 20 * (50 + len(writer.stdout.read().split()))
        writer.wait(10)
    LocalSink(tmp_path, "t-1", 1, 0).close()
    lines, _ = LocalLogs(tmp_path).read("t-1", limit=10**7)
    assert [one.sequence for one in lines] == list(range(1, len(lines) + 1))
    assert len(lines) >= acknowledged


def test_one_writer(tmp_path: Path) -> None:
    """A second writer of the same instance is refused; after the first has closed it may."""
    first = LocalSink(tmp_path, "t-1", 1, 0)
    with pytest.raises(LogInUse, match=r"instance-0\.ndjson"):
        LocalSink(tmp_path, "t-1", 1, 0)
    LocalSink(tmp_path, "t-1", 1, 1).close()
    first.close()
    LocalSink(tmp_path, "t-1", 1, 0).close()


FULL = """
import resource, signal, sys
from pathlib import Path
from blocks.logs import InstanceLog, LocalLogs, LocalSink
from blocks.logs.errors import LogStoreAway
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = InstanceLog(LocalSink(Path(sys.argv[1]), "t-1", 1, 0), "t-1", 1, 0)
log.write([("before", 0)])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    log.write([("x" * 400, 0)] * 3)
    raise SystemExit("was written")
except LogStoreAway:
    pass
assert [one.body for one in LocalLogs(Path(sys.argv[1])).read("t-1")[0]] == ["before"]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write([("after", 0)])
log.close()
"""


def test_full_disk(tmp_path: Path) -> None:
    """A batch for which there is no room is refused as a whole, and later ones go on without a gap."""
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], check=True)
    lines, _ = LocalLogs(tmp_path).read("t-1")
    assert [(one.sequence, one.body) for one in lines] == [(1, "before"), (2, "after")]


def test_order_of_reading(tmp_path: Path) -> None:
    """Instances are merged by time, attempts follow one another (10 after 2), and either can be chosen."""
    store(tmp_path, line(1, 1), line(3, 2), line(2, 1, instance=1), line(0, 1, attempt=10), line(9, 1, attempt=2))
    logs = LocalLogs(tmp_path)
    assert [one.body for one in logs.read("t-1")[0]] == ["1", "2", "3", "9", "0"]
    assert [one.body for one in logs.read("t-1", attempt=1, instance=1)[0]] == ["2"]
    assert [one.body for one in logs.read("t-1", attempt=2)[0]] == ["9"]


def test_reading_on(tmp_path: Path) -> None:
    """Read three at a time, and on after more was written, every line comes once."""
    store(tmp_path, *(line(n, n // 2 + 1, instance=n % 2) for n in range(10)))
    logs = LocalLogs(tmp_path)
    bodies: list[str] = []
    lines, position = logs.read("t-1", limit=3)
    while lines:
        bodies += [one.body for one in lines]
        lines, position = logs.read("t-1", after=position, limit=3)
    store(tmp_path, line(10, 6))
    lines, position = logs.read("t-1", after=position)
    assert bodies + [one.body for one in lines] == [str(n) for n in range(11)]


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    """A line that is being written is given when it is whole."""
    store(tmp_path, line(0, 1), line(1, 2))
    file = file_of(tmp_path, "t-1", 1, 0)
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    logs = LocalLogs(tmp_path)
    lines, position = logs.read("t-1")
    assert [one.body for one in lines] == ["0"]
    assert [one.body for one in logs.tail("t-1", 5)] == ["0"]
    file.write_bytes(whole)
    assert [one.body for one in logs.read("t-1", after=position)[0]] == ["1"]


def test_follow(tmp_path: Path) -> None:
    """A follower gets each line soon, also of an attempt that begins later, and ends when all is said."""
    over = threading.Event()
    arrived: list[tuple[float, str]] = []

    def follower() -> None:
        arrived.extend((time.time(), one.body) for one in LocalLogs(tmp_path).follow("t-1", over.is_set))

    thread = threading.Thread(target=follower)
    thread.start()
    written: list[float] = []
    for attempt in (1, 2):
        log = InstanceLog(LocalSink(tmp_path, "t-1", attempt, 0), "t-1", attempt, 0)
        for n in range(3):
            time.sleep(0.1)
            written.append(time.time())
            log.write([(f"{attempt}.{n}", 0)])
        log.close()
    over.set()
    thread.join(10)
    assert [body for _, body in arrived] == ["1.0", "1.1", "1.2", "2.0", "2.1", "2.2"]
    assert all(at - began < 1.5 for (at, _), began in zip(arrived, written, strict=True))


@pytest.mark.parametrize("n", [0, 1, 3, 4, 999, 5000])
def test_tail(tmp_path: Path, n: int) -> None:
    """The tail is the end of what reading gives, over instances and attempts, however long the lines are."""
    for attempt in (1, 2):
        for instance in (0, 1):
            sink = LocalSink(tmp_path, "t-1", attempt, instance)
            size = 3000 if instance else 10
            sink.write(
                [line(k / 7 + instance / 10, k + 1, attempt, instance)._replace(body="x" * size) for k in range(300)]
            )
            sink.close()
    logs = LocalLogs(tmp_path)
    everything, _ = logs.read("t-1", limit=10**6)
    assert logs.tail("t-1", n) == everything[max(0, len(everything) - n) :]


def test_delete(tmp_path: Path) -> None:
    """Deleting takes one training's logs away and can be repeated; reading what is not there is empty."""
    store(tmp_path, line(0, 1), line(0, 1)._replace(training_id="t-2"))
    logs = LocalLogs(tmp_path)
    logs.delete("t-1")
    logs.delete("t-1")
    assert logs.read("t-1") == ([], {})
    assert logs.tail("t-1", 5) == []
    assert len(logs.read("t-2")[0]) == 1


@pytest.mark.parametrize("training_id", ["", "..", "a/b", "../x", "a\0", "-x", "x" * 65, "a\n"])
def test_hostile_ids(tmp_path: Path, training_id: str) -> None:
    """An id that is no plain name never becomes a path."""
    for verb in (LocalLogs(tmp_path).read, LocalLogs(tmp_path).delete, lambda name: LocalSink(tmp_path, name, 1, 0)):
        with pytest.raises(BadLogId):
            verb(training_id)


def test_errors_say_whether_to_ask_again(tmp_path: Path) -> None:
    """A store that cannot be opened is Temporary, a bad id and a second writer are Permanent."""
    (tmp_path / "logs").write_text("a file where a folder should be")
    with pytest.raises(LogStoreAway):
        LocalSink(tmp_path, "t-1", 1, 0)
    assert issubclass(LogStoreAway, Temporary)
    assert issubclass(BadLogId, Permanent)
    assert issubclass(LogInUse, Permanent)
