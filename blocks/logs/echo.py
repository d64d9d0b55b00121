"""How much of a training's output is also shown in its flow run's own log."""

import shlex
import threading
from collections.abc import Callable, Sequence


class EchoLimit:
    """Lets `per_second` lines of each second through; at the end of a second in which some were left out, says so.

    Pure: it is told the time. A second begins with the first line after the last one's end.
    """

    def __init__(self, training: str, per_second: int = 50) -> None:
        self._training = training
        self._per_second = per_second
        self._began: float | None = None
        self._shown = 0
        self._left_out = 0

    def take(self, lines: Sequence[str], now: float) -> list[str]:
        """Return what is to be shown now that these lines came; `now` in seconds of any steady clock."""
        shown = self.tick(now)
        if not lines:
            return shown
        if self._began is None:
            self._began, self._shown = now, 0
        through = lines[: self._per_second - self._shown]
        self._shown += len(through)
        self._left_out += len(lines) - len(through)
        return shown + list(through)

    def tick(self, now: float) -> list[str]:
        """Return what is to be shown now that time has passed."""
        if self._began is None or now - self._began < 1.0:
            return []
        return self.end()

    def end(self) -> list[str]:
        """Return what is to be shown at the end of a second, or of everything."""
        count, self._left_out, self._began = self._left_out, 0, None
        if not count:
            return []
        lines = "1 line" if count == 1 else f"{count:,} lines"
        return [f"… {lines} left out here; all of them are in `emf training logs {shlex.quote(self._training)}`"]


class Echo:
    """Shows lines, at most 50 a second whoever they come from: the instances of an attempt share one.

    `show` gets each line; `training` is the name that a reader is told to ask for the others. Threads may share it.
    """

    def __init__(self, show: Callable[[str], None], training: str) -> None:
        self._show: Callable[[str], None] | None = show
        self._limit = EchoLimit(training)
        self._lock = threading.Lock()

    def take(self, lines: Sequence[str], now: float) -> None:
        """Show what may be shown of these lines; `now` in seconds of any steady clock."""
        with self._lock:
            self._tell(self._limit.take(lines, now))

    def finish(self) -> None:
        """Say how many were left out in the last second; nothing more comes."""
        with self._lock:
            self._tell(self._limit.end())

    def _tell(self, lines: Sequence[str]) -> None:
        try:
            for line in lines:
                if self._show is not None:
                    self._show(line)
        except Exception:  # noqa: BLE001 (what is only shown must never cost what is stored)
            self._show = None
