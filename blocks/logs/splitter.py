"""From the bytes of a pipe to lines: pure, it is told the time."""

import math

from blocks.logs.sink import Fragment

LONGEST = 64 * 1024  # bytes of UTF-8 in one stored line
IDLE_SECONDS = 1.0
REWRITE_SECONDS = 1.0


class Splitter:
    r"""Splits at line feeds; `\r\n` is one too. What is not UTF-8 becomes U+FFFD.

    - A line over 64 KiB comes in pieces numbered from 1; together they are the line.
    - What stands without a line feed for one second is given as it is; what follows is a line of its own.
    - A progress bar writes its line again and again after `\r`. Only its last state is a line: when its line ends and,
      before that, at most once a second if it has changed.
    """

    def __init__(self) -> None:
        self._rest = (
            b""  # what came after the last line feed and was not given; of a rewritten line, `\r` and its state
        )
        self._pieces = 0  # how many pieces of the current line were given
        self._shown: bytes | None = None  # what was given of the current line before its end
        self._shown_at = -math.inf  # when a state of any rewritten line was given
        self._arrived = -math.inf  # when bytes last came

    def feed(self, data: bytes, now: float) -> list[Fragment]:
        """Take bytes and return the lines that they end; `now` in seconds of any steady clock."""
        self._arrived = now
        *ended, new = data.rsplit(b"\n", 1)
        self._rest += ended[0] if ended else new
        if not ended:
            return self._shorten(now)
        lines, self._rest = self._rest, new
        plain = self._pieces == 0 and self._shown is None and b"\r" not in lines
        first = lines.find(b"\n")
        if plain and len(data) <= LONGEST and (len(lines) if first < 0 else first) <= LONGEST:
            given = [(line, 0) for line in _text(lines).split("\n")]
        else:
            given = [fragment for line in lines.split(b"\n") for fragment in self._ended(line)]
        return given + self._shorten(now)

    def idle(self, now: float) -> list[Fragment]:
        """Return what has waited long enough for its line's end; to be called a few times a second."""
        if b"\r" in self._rest:
            state = _state(self._rest)
            if state in (self._shown, b"") or now - self._shown_at < REWRITE_SECONDS:
                return []
            self._shown, self._shown_at, self._pieces = state, now, 0
            return [(_text(state), 0)]
        if now - self._arrived < IDLE_SECONDS or not self._rest:
            return []
        given = self.end()
        self._shown = b""  # so that a line feed alone makes no empty line of its own
        return given

    def end(self) -> list[Fragment]:
        """Return what is left; nothing more comes."""
        rest, self._rest = self._rest, b""
        return self._ended(rest) if rest else []

    def _ended(self, line: bytes) -> list[Fragment]:
        """Return what is still to be given of a line that is complete."""
        shown, pieces, state = self._shown, self._pieces, _state(line)
        self._shown, self._pieces = None, 0
        if state == shown or (not state and (pieces or shown is not None)):
            return []
        if not pieces and len(state) <= LONGEST:
            return [(_text(state), 0)]
        return [(_text(piece), number) for piece, number in _cut(state, pieces + 1)]

    def _shorten(self, now: float) -> list[Fragment]:
        """Keep what has no end yet small: give pieces of what is too long, forget states that were written over."""
        if b"\r" in self._rest:
            state = _state(self._rest)
            if len(state) <= LONGEST:
                # A final `\r` may be half of `\r\n`; if it is not, what follows is the next state.
                self._rest = b"\r" + state + (b"\r" if self._rest.endswith(b"\r") else b"")
                return self.idle(now)
            self._rest = state
        if len(self._rest) <= LONGEST:
            return []
        *whole, (last, _) = _cut(self._rest, self._pieces + 1)
        self._rest, self._pieces = last, self._pieces + len(whole)
        return [(_text(piece), number) for piece, number in whole]


def _cut(line: bytes, first: int) -> list[tuple[bytes, int]]:
    """Cut a line into numbered pieces of at most 64 KiB, none of them within a character."""
    pieces: list[tuple[bytes, int]] = []
    while line:
        at = _boundary(line)
        pieces.append((line[:at], first + len(pieces)))
        line = line[at:]
    return pieces


def _state(line: bytes) -> bytes:
    """Return what a terminal would show of a line: the last of its states that is not empty."""
    if b"\r" not in line:
        return line
    return next((state for state in reversed(line.split(b"\r")) if state), b"")


def _boundary(line: bytes) -> int:
    if len(line) <= LONGEST:
        return len(line)
    # Four bytes in a row that all continue a character are no UTF-8 anyway.
    return next((at for at in range(LONGEST, LONGEST - 4, -1) if line[at] & 0xC0 != 0x80), LONGEST)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
