"""What a script said last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.training.ends.evidence import LAST_LINES
from flows.training.ends.last_words import AFTERWARDS, Said, Worker, read
from tests.flows.training.torchrun import raised, report

LOG = [f"epoch {number}: loss 0.1" for number in range(30)]
FAILED = raised("ValueError: bad")


@pytest.mark.parametrize(
    ("lines", "exit_code", "words"),
    [
        ([], 1, ""),
        (["", "  "], 1, ""),
        (["a", "b", "", ""], 3, "b"),
        ([*LOG, *FAILED], 1, "ValueError: bad"),
        ([*LOG, *raised("ValueError: bad\nand more\n\n  of it")], 1, "ValueError: bad\nand more\n\n  of it"),
        ([*raised("OSError: first"), "", "During handling of …:", "", *FAILED], 1, "ValueError: bad"),
        ([*FAILED, *["what runs at exit"] * AFTERWARDS], 1, "ValueError: bad" + "\nwhat runs at exit" * AFTERWARDS),
        ([*FAILED, *LOG], 1, LOG[-1]),  # it survived that
        ([*FAILED, "giving up"], 3, "giving up"),  # and Python exits with 1 for an exception
        ([*FAILED, "giving up"], None, "giving up"),  # it died from a signal
        ([*LOG, FAILED[0], *FAILED[1:-1]], 1, "main()"),  # cut off before its exception
        (raised("KeyError: Caught KeyError in worker 0.\nOriginal " + "\n".join(FAILED)), 1, "ValueError: bad"),
        (raised("ValueError: bad", rank=0), 1, "ValueError: bad"),
    ],
)
def test_an_exception_counts_where_it_is_the_end(lines: list[str], exit_code: int | None, words: str):
    """To the end of the lines, with what runs at exit; everything else is told by the last line alone."""
    assert read(lines, exit_code) == Said(words)


@pytest.mark.parametrize(
    ("lines", "worker", "line"),
    [
        ([*LOG, *report(1, -9, 0)], Worker(1, signal=9), LOG[-1]),
        ([*LOG, *report(1, -11, 0)], Worker(1, signal=11), LOG[-1]),
        ([*LOG, *report(1, 3, 0)], Worker(1, exit_code=3), LOG[-1]),
        ([*LOG, *report(0, 137)], Worker(0, exit_code=137), LOG[-1]),
        ([*raised("ValueError: bad", rank=1), *report(1, 1, 0)], Worker(1, exit_code=1), "ValueError: bad"),
        # That of the worker that failed first counts, not that of the one that noticed it last.
        (
            [*raised("ValueError: bad", rank=1), *raised("RuntimeError: peer", rank=0), *report(1, 1, 0)],
            Worker(1, exit_code=1),
            "ValueError: bad",
        ),
        # Before the workers know their ranks nobody says whose words they are.
        ([*FAILED, *FAILED, *report(0, 1, 1)], Worker(0, exit_code=1), "ValueError: bad"),
        # With torch's decorator the report holds the traceback as well.
        (
            [*raised("ValueError: bad", rank=1), *report(1, 1, 0, traceback="\n".join([*FAILED, ""]))],
            Worker(1, exit_code=1),
            "ValueError: bad",
        ),
        (report(1, -9, 0), Worker(1, signal=9), ""),
        (report(1, -9, 0)[-12:], Worker(1, signal=9), ""),  # the beginning is out of sight
        ([*report(1, -9, 0), *["afterwards"] * 5], Worker(1, signal=9), ""),
    ],
)
def test_torchruns_report_names_the_worker_that_failed_first(lines: list[str], worker: Worker, line: str):
    """Its rank and how it ended; the words are its own, and never torchrun's."""
    found = read(lines, 1)
    assert (found.worker, found.line) == (worker, line)


@pytest.mark.parametrize(
    ("lines", "exit_code"),
    [
        (report(1, -9, 0), 0),
        (report(1, -9, 0), 3),
        ([*report(1, -9, 0), *LOG], 1),  # it is not the end: who printed it went on
        (report(1, -9, 0)[:-6], 1),  # cut off before it tells how
        (["Root Cause (first observed failure):"], 1),
    ],
)
def test_a_report_that_is_not_the_end_is_none(lines: list[str], exit_code: int):
    """Torchrun exits with 1 after it, and says little more."""
    assert read(lines, exit_code).worker is None


def test_eight_workers_reports_leave_room_for_the_first_ones_words():
    """Of the lines that are kept, those before the report still hold the exception."""
    lines = [*raised("ValueError: bad", rank=3), *report(3, 1, 0, 1, 2, 4, 5, 6, 7)]
    assert read(lines[-LAST_LINES:], 1) == Said("ValueError: bad", Worker(3, exit_code=1))


PIECES = [*report(0, -9, 1), *raised("ValueError: bad", rank=0), "", "  exitcode  : ", "[rank0]:", "[rank"]


@given(st.lists(st.text(max_size=9) | st.sampled_from(PIECES), max_size=40), st.none() | st.integers(0, 2))
def test_whatever_was_said_is_read(lines: list[str], exit_code: int | None):
    """No lines, in no order, are too odd; the words are some of the lines."""
    found = read(lines, exit_code)
    said = "\n".join(line.removeprefix("[rank0]: ").removeprefix("[rank0]:").strip() for line in lines)
    assert all(line.strip() in said for line in found.words.splitlines())
