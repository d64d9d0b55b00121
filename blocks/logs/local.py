"""Logs in files of NDJSON: `EMF_HOME/logs/trainings/<training id>/attempt-<n>/instance-<i>.ndjson`."""

import fcntl
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from blocks.logs.errors import BadLogId, LogInUse, LogStoreAway
from blocks.logs.line import LogLine, decode, encode

SYNC_SECONDS = 1.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_WINDOW = 1 << 20  # bytes; the longest line takes less than half of it


def folder_of(home: Path, training_id: str) -> Path:
    """Return the folder of one training's logs.

    Raises:
        BadLogId: the id is not of letters, digits, `_` and `-`.
    """
    if not _ID.fullmatch(training_id):
        raise BadLogId(f"{training_id!r} is no training id: letters, digits, '_' and '-', at most 64.")
    return home / "logs" / "trainings" / training_id


def file_of(home: Path, training_id: str, attempt: int, instance: int) -> Path:
    """Return the file of one instance's log. Raises BadLogId."""
    if attempt < 1 or instance < 0:
        raise BadLogId(f"Attempts are counted from 1 and instances from 0, not {attempt} and {instance}.")
    return folder_of(home, training_id) / f"attempt-{attempt}" / f"instance-{instance}.ndjson"


class LocalSink:
    """A `LogSink`: appends to the instance's file. Only one process at a time can have it open.

    What a process that was killed left half written is cut off when it is opened again, and the numbers go on.

    Raises:
        BadLogId, LogInUse, LogStoreAway.
    """

    def __init__(self, home: Path, training_id: str, attempt: int, instance: int) -> None:
        self._file = file_of(home, training_id, attempt, instance)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise LogStoreAway(f"Cannot open {self._file}: {error.strerror}.") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size, last = _sound_end(self._fd)
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            os.close(self._fd)
            if isinstance(error, BlockingIOError):
                raise LogInUse(f"Another process writes {self._file}.") from error
            raise LogStoreAway(f"Cannot repair {self._file}: {error.strerror}.") from error
        self._next = last + 1
        self._dirty = False
        self._synced = time.monotonic()

    @property
    def next_sequence(self) -> int:
        """The number of the next line: one more than the last that the file holds."""
        return self._next

    def write(self, lines: Sequence[LogLine]) -> None:
        """Append all of the lines or, if it raises LogStoreAway, none; what is older than a second is flushed first."""
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.flush()
        data = memoryview(encode(lines))
        at = 0
        try:
            if os.fstat(self._fd).st_size != self._size:  # what an earlier write that failed could not take back
                os.ftruncate(self._fd, self._size)
            while at < len(data):
                at += os.write(self._fd, data[at:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise LogStoreAway(f"Cannot write {self._file}: {error.strerror}.") from error
        self._size += len(data)
        self._next += len(lines)
        self._dirty = True

    def flush(self) -> None:
        """Return when all lines are on the disk. Raises LogStoreAway."""
        try:
            if self._dirty:
                os.fsync(self._fd)
        except OSError as error:
            raise LogStoreAway(f"Cannot flush {self._file}: {error.strerror}.") from error
        self._dirty = False
        self._synced = time.monotonic()

    def close(self) -> None:
        """Flush and let the file go. Raises LogStoreAway."""
        try:
            self.flush()
        finally:
            os.close(self._fd)


def _sound_end(fd: int) -> tuple[int, int]:
    """Return where the last whole line of a file ends and its number; (0, 0) if there is none."""
    size, window = os.fstat(fd).st_size, _WINDOW
    while True:
        start = max(0, size - window)
        block = os.pread(fd, size - start, start)
        end = len(block)
        while end := block.rfind(b"\n", 0, end) + 1:
            begin = block.rfind(b"\n", 0, end - 1) + 1
            try:
                return start + end, decode(block[begin:end]).sequence
            except ValueError:
                end = begin
        if start == 0:
            return 0, 0
        window *= 8  # after a loss of power there may be long stretches of nothing
