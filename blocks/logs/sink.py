"""Where lines go, and who numbers them on the way."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from blocks.logs.line import Level, LogLine, Source

Fragment = tuple[str, int]
"""A line's text and its piece: 0, or 1, 2, 3 … of a line too long for one."""


class LogSink(Protocol):
    """A place for the lines of one instance of an attempt. All verbs raise `LogStoreAway` while it cannot take any."""

    @property
    def next_sequence(self) -> int:
        """The number of the next line: 1, or one more than the last that the place holds."""
        ...

    def write(self, lines: Sequence[LogLine]) -> None:
        """Take all of the lines or, if it raises, none of them; when it returns, the end of this process loses none."""
        ...

    def flush(self) -> None:
        """Return when also a loss of power loses nothing."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


class InstanceLog:
    """The log of one instance of an attempt: it numbers what the script and the platform say, in one order.

    Threads may share it. Its numbers go on from what the sink holds, so a process that takes over leaves no gap.
    """

    def __init__(self, sink: LogSink, training_id: str, attempt: int, instance: int) -> None:
        self._sink = sink
        self._place = (training_id, attempt, instance)
        self._next = sink.next_sequence
        self._lock = threading.Lock()

    def write(self, fragments: Sequence[Fragment], source: Source = "script", level: Level = "INFO") -> None:
        """Store lines that were read now. Raises `LogStoreAway`, then none of them is stored or numbered."""
        if not fragments:
            return
        training_id, attempt, instance = self._place
        with self._lock:
            now = datetime.now(UTC)
            lines = [
                LogLine(now, body, training_id, attempt, instance, number, level, source, piece=piece)
                for number, (body, piece) in enumerate(fragments, self._next)
            ]
            self._sink.write(lines)
            self._next += len(lines)

    def say(self, text: str, level: Level = "INFO") -> None:
        """Store what the platform itself has to say, each line of it, and flush."""
        self.write([(line, 0) for line in text.split("\n")], "platform", level)
        self.flush()

    def flush(self) -> None:
        """Return when also a loss of power loses nothing."""
        with self._lock:
            self._sink.flush()

    def close(self) -> None:
        """Flush and close the sink."""
        with self._lock:
            self._sink.close()
