"""What a script said last: the exception that ended it, and which of torchrun's workers failed first. Without I/O.

Only what stands at the very end counts: a script may print an exception in the middle of its log and go on for hours.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

AFTERWARDS = 10  # lines of others that may follow the words that ended it: what runs at exit, what outlives it
UNCAUGHT = 1  # what Python exits with after an exception, and torchrun after a worker's failure

RANK = re.compile(r"\[rank(\d+)\]: ?")  # torch's prefix to an exception, once a worker is one of several
TRACEBACK = "Traceback (most recent call last):"
TRACEBACKS = (TRACEBACK, f"Original {TRACEBACK}")  # the second of a worker process, in the exception of its parent
TORCHRUNS_OWN = re.compile(r"[WE]\d{4} [\d:.]+ \d+ torch/distributed/elastic/")
FAILED = re.compile(r"torch\.distributed\.elastic\S*\.ChildFailedError:")
ROOT_CAUSE = "Root Cause (first observed failure):"
ITS_RANK = re.compile(r"  rank +: (\d+) ")
ITS_EXIT_CODE = re.compile(r"  exitcode +: (-?\d+) \(pid: \d+\)")


@dataclass(frozen=True)
class Worker:
    """The worker of torchrun's that failed first, and how: either an exit code or a signal."""

    rank: int
    exit_code: int | None = None
    signal: int | None = None


@dataclass(frozen=True)
class Said:
    """What a script said last, and, where torchrun ran it, which worker failed first."""

    words: str = ""
    worker: Worker | None = None

    @property
    def line(self) -> str:
        """The first line of the words."""
        return self.words.partition("\n")[0]


def read(lines: Sequence[str], exit_code: int | None) -> Said:
    """Return what a script said last.

    Args:
        lines: its last lines.
        exit_code: what it ended with.
    """
    said = [line.rstrip() for line in lines]
    worker, start = _report(said) if exit_code == UNCAUGHT else (None, len(said))
    own = [line for line in said[:start] if not TORCHRUNS_OWN.match(line)] if worker else said
    code = worker.exit_code if worker else exit_code
    return Said(_words(_of(worker, own), is_uncaught=code == UNCAUGHT), worker)


def _report(lines: Sequence[str]) -> tuple[Worker | None, int]:
    """Return the worker that torchrun's report at the end names as the root cause, and where torchrun's words begin."""
    root = _last(lines, ROOT_CAUSE)
    if root is None or _is_followed(lines[root + 1 :]):
        return None, len(lines)
    rank = next((found for line in lines[root:] if (found := ITS_RANK.match(line))), None)
    code = next((found for line in lines[root:] if (found := ITS_EXIT_CODE.match(line))), None)
    if rank is None or code is None:
        return None, len(lines)
    number = int(code[1])
    worker = Worker(int(rank[1]), signal=-number) if number < 0 else Worker(int(rank[1]), exit_code=number)
    failed = next((place for place in range(root, -1, -1) if FAILED.match(lines[place])), 0)
    return worker, _last(lines[:failed], TRACEBACK) or 0


def _of(worker: Worker | None, lines: Sequence[str]) -> list[str]:
    """Return the lines of that worker where they can be told from the others', each without its prefix."""
    prefix = f"[rank{worker.rank}]:" if worker else ""
    own = [line for line in lines if line.startswith(prefix)] if worker else []
    return [RANK.sub("", line, count=1) if RANK.match(line) else line for line in own or lines]


def _words(lines: Sequence[str], *, is_uncaught: bool) -> str:
    """Return the exception that nobody caught, to the end of the lines; where there is none, the last line."""
    begin = _last(lines, *TRACEBACKS) if is_uncaught else None
    if begin is not None:
        said = next((place for place in range(begin + 1, len(lines)) if _is_outside(lines[place])), None)
        if said is not None and not _is_followed(lines[said + 1 :]):
            return "\n".join(lines[said:]).strip()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _last(lines: Sequence[str], *wanted: str) -> int | None:
    return next((place for place in range(len(lines) - 1, -1, -1) if lines[place].startswith(wanted)), None)


def _is_followed(lines: Sequence[str]) -> bool:
    """Say whether so much came afterwards that what stood before it was not the end."""
    return sum(map(_is_outside, lines)) > AFTERWARDS


def _is_outside(line: str) -> bool:
    """Say whether a line is none of a traceback's, nor of an exception's further ones: they are empty or indented."""
    return bool(line) and not line[0].isspace()
