"""Reading the logs of a folder while they are written: the instances' files merged into one order."""

import heapq
import re
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from blocks.logs.errors import LogStoreAway
from blocks.logs.line import LogLine, decode
from blocks.logs.local import folder_of

Position = dict[str, int]
"""How far a reader has come: bytes read of each file, by its path within the training's folder. JSON can carry it."""

POLL_SECONDS = 0.2
_BATCH = 1000  # lines
_FILE = re.compile(r"attempt-([1-9][0-9]*)/instance-([0-9]+)\.ndjson")
_BLOCK = 1 << 16  # bytes


class _File(NamedTuple):
    attempt: int
    instance: int
    key: str
    path: Path


class LocalLogs:
    """The logs of all trainings of one platform folder. All verbs raise BadLogId and LogStoreAway.

    Lines are ordered by attempt, then time, then number. A line that is only half written yet is not there yet.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def read(
        self,
        training_id: str,
        attempt: int | None = None,
        instance: int | None = None,
        after: Position | None = None,
        limit: int = _BATCH,
    ) -> tuple[list[LogLine], Position]:
        """Return at most `limit` lines after a position (None: the beginning), and the position after them."""
        position = dict(after or {})
        lines: list[LogLine] = []
        files = self._files(training_id, attempt, instance)
        for _, of_attempt in groupby(files, key=lambda file: file.attempt):
            streams = [_lines(file, position.get(file.key, 0)) for file in of_attempt]
            merged = heapq.merge(*streams, key=lambda found: (found[0].time, found[0].sequence))
            for line, key, end in islice(merged, limit - len(lines)):
                lines.append(line)
                position[key] = end
        return lines, position

    def follow(
        self,
        training_id: str,
        ended: Callable[[], bool],
        attempt: int | None = None,
        instance: int | None = None,
        after: Position | None = None,
    ) -> Iterator[LogLine]:
        """Give lines as they come, within 0.2 s, until `ended()` is true and all lines are given.

        `ended` is asked only when there is nothing to give.
        """
        position, over = after, False
        while True:
            lines, position = self.read(training_id, attempt, instance, position)
            yield from lines
            if lines:
                continue
            if over:
                return
            # What was written between the last look and the end is read by one more look.
            if not (over := ended()):
                time.sleep(POLL_SECONDS)

    def tail(self, training_id: str, n: int, attempt: int | None = None, instance: int | None = None) -> list[LogLine]:
        """Return the last `n` lines; only the ends of the files are read."""
        lines: list[LogLine] = []
        files = reversed(self._files(training_id, attempt, instance))
        for _, of_attempt in groupby(files, key=lambda file: file.attempt):
            found = [line for file in of_attempt for line in _last_lines(file, n - len(lines))]
            found.sort(key=lambda line: (line.time, line.sequence))
            lines = found[max(0, len(found) + len(lines) - n) :] + lines
            if len(lines) >= n:
                break
        return lines

    def delete(self, training_id: str) -> None:
        """Delete a training's logs; that there are none is fine."""
        try:
            shutil.rmtree(folder_of(self._home, training_id))
        except FileNotFoundError:
            return
        except OSError as error:
            raise LogStoreAway(f"Cannot delete the logs of {training_id}: {error}.") from error

    def _files(self, training_id: str, attempt: int | None = None, instance: int | None = None) -> list[_File]:
        folder = folder_of(self._home, training_id)
        files: list[_File] = []
        for path in folder.glob("attempt-*/instance-*.ndjson"):
            key = path.relative_to(folder).as_posix()
            if (match := _FILE.fullmatch(key)) is None:
                continue
            file = _File(int(match[1]), int(match[2]), key, path)
            if attempt in (None, file.attempt) and instance in (None, file.instance):
                files.append(file)
        return sorted(files)


def _lines(file: _File, start: int) -> Iterator[tuple[LogLine, str, int]]:
    """Give each whole line after `start` bytes with its file's key and where it ends."""
    try:
        with file.path.open("rb") as stream:
            stream.seek(start)
            end = start
            for text in stream:
                if not text.endswith(b"\n"):
                    return
                end += len(text)
                if (line := _sound(text)) is not None:
                    yield line, file.key, end
    except FileNotFoundError:
        return  # deleted in between
    except OSError as error:
        raise LogStoreAway(f"Cannot read {file.path}: {error.strerror}.") from error


def _last_lines(file: _File, n: int) -> list[LogLine]:
    try:
        with file.path.open("rb") as stream:
            size = start = stream.seek(0, 2)
            block = b""
            while start and block.count(b"\n") <= n:
                start = max(0, size - 2 * (size - start) - _BLOCK)
                stream.seek(start)
                block = stream.read(size - start)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LogStoreAway(f"Cannot read {file.path}: {error.strerror}.") from error
    whole = block.split(b"\n")[:-1]  # what follows the last line feed is half written
    return [line for text in whole[max(0, len(whole) - n) :] if (line := _sound(text)) is not None]


def _sound(text: bytes) -> LogLine | None:
    """Return the line, None for what a loss of power left."""
    try:
        return decode(text)
    except ValueError:
        return None
