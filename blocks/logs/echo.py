"""How much of a script's output is also shown in the flow run's own log: pure, it is told the time."""

import shlex
from collections.abc import Sequence


class EchoLimit:
    """Lets `per_second` lines of each second through; at the end of a second in which some were left out, says so.

    A second begins with the first line after the last one's end.
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
