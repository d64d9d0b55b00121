"""The texts under /proc are read as proc(5) writes them."""

import os

import pytest

from images.launcher import proc

STAT = (
    "{pid} ({name}) S 7 42 42 0 -1 4194560 999 0 0 0 11 22 33 44 20 0 1 0 123456 8192000 500 18446744073709551615 1 1"
)


@pytest.mark.parametrize("name", ["python", "a b", "a) R 1 (b", "((", ""])
def test_name_of_a_command_does_not_shift_the_fields(name):
    """Blanks and parentheses in a command's name change no other field."""
    process = proc.parse_stat(STAT.format(pid=42, name=name))
    assert process == proc.Process(42, 7, "S", 110, 123456, 500 * proc.PAGE_BYTES)


@pytest.mark.parametrize(
    ("state", "alive"), [("R", True), ("S", True), ("D", True), ("T", True), ("Z", False), ("X", False)]
)
def test_zombie_is_not_alive(state, alive):
    """One that only waits to be reaped is not alive; a stopped one is."""
    assert proc.Process(1, 0, state, 0, 0, 0).alive is alive


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (b"EMF_ATTEMPT=a1\0EMF_INSTANCE=0\0", True),
        (b"HOME=/\0EMF_INSTANCE=0\0EMF_ATTEMPT=a1", True),
        (b"EMF_ATTEMPT=a1\0EMF_INSTANCE=1\0", False),
        (b"EMF_ATTEMPT=a11\0EMF_INSTANCE=0\0", False),
        (b"X=EMF_ATTEMPT=a1\0EMF_INSTANCE=0\0", False),
        (b"EMF_ATTEMPT=a1\0", False),
        (b"", False),
    ],
)
def test_mark_is_every_word_of_it(environ, expected):
    """A process is marked only if each variable is there with exactly this value."""
    assert proc.carries(environ, frozenset({b"EMF_ATTEMPT=a1", b"EMF_INSTANCE=0"})) is expected


def test_share_is_read_from_the_rollup():
    """Pss counts, not Pss_Anon nor SwapPss."""
    text = "5651-7fff ---p 0 00:00 0 [rollup]\nRss:  1716 kB\nPss:   277 kB\nPss_Anon:  116 kB\nSwapPss: 9 kB\n"
    assert proc.parse_pss(text) == 277 * 1024
    assert proc.parse_pss("Rss: 1 kB\n") is None


def test_own_process_is_found_and_a_gone_one_is_none():
    """The readers answer for a living process and never raise for another."""
    mine = proc.process(os.getpid())
    assert mine is not None
    assert (mine.pid, mine.parent, mine.alive) == (os.getpid(), os.getppid(), True)
    assert 0 < (proc.pss_bytes(os.getpid()) or 0) <= proc.rss_bytes(os.getpid()) + mine.rss_bytes
    gone = 2**22 + 1  # above the largest number that Linux gives
    assert (proc.process(gone), proc.pss_bytes(gone), proc.rss_bytes(gone), proc.children(gone)) == (None, None, 0, [])
    assert not proc.marked(gone, frozenset({b"EMF_ATTEMPT=a1"}))
