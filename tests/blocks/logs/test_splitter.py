"""From bytes to lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.logs.splitter import LONGEST, Splitter


def fed(*chunks: bytes) -> list[tuple[str, int]]:
    splitter = Splitter()
    return [fragment for chunk in chunks for fragment in splitter.feed(chunk, 0.0)] + splitter.end()


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\nc", b"\n"], ["ab", "c"]),
        ([b"\n\n"], ["", ""]),
        ([b"last"], ["last"]),
        ([b"win\r\ndows\r", b"\nx\r\n\r\n"], ["win", "dows", "x", ""]),
        (["가".encode()[:1], "가".encode()[1:], b"\n"], ["가"]),
        ([b"\xff\xfe\n"], ["��"]),
        ([b"a\0b\x85c\n"], ["a\0b�c"]),
        ([b"1%\r2%\r3%\n"], ["3%"]),
        ([b"1%\r2%\r", b"\n"], ["2%"]),
        ([b"\r1%", b"\r2%", b"\r3%", b"\nnext\n"], ["1%", "3%", "next"]),
        ([b"\r1%", b"\n\n"], ["1%", ""]),
        ([b"\r1%"], ["1%"]),
    ],
)
def test_lines(chunks: list[bytes], lines: list[str]) -> None:
    """Line feeds end lines wherever the reads fall, and of a line that is written over only a last state stays."""
    assert fed(*chunks) == [(line, 0) for line in lines]


@given(st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))), st.data())
def test_nothing_is_lost(lines: list[bytes], data: st.DataObject) -> None:
    """However the bytes are cut into reads, the lines are those between the line feeds."""
    stream, chunks = b"".join(line + b"\n" for line in lines), []
    while stream:
        size = data.draw(st.integers(1, 40))
        chunks.append(stream[:size])
        stream = stream[size:]
    assert fed(*chunks) == [(line.decode("utf-8", "replace"), 0) for line in lines]


@given(
    unit=st.sampled_from(["a", "é", "가", "🙂", "a가"]),
    count=st.integers(30_000, 200_000),
    offset=st.integers(0, 3),
    reads=st.sampled_from([1000, 65536, 10**7]),
)
def test_long_lines(unit: str, count: int, offset: int, reads: int) -> None:
    """A line over 64 KiB comes in numbered pieces of at most that, which together are the line; the next is whole."""
    line = "x" * offset + unit * count
    stream = f"before\n{line}\nafter\n".encode()
    found = fed(*(stream[at : at + reads] for at in range(0, len(stream), reads)))
    assert found[0] == ("before", 0)
    assert found[-1] == ("after", 0)
    pieces = found[1:-1]
    assert "".join(body for body, _ in pieces) == line
    assert all(len(body.encode()) <= LONGEST for body, _ in pieces)
    whole = len(line.encode()) <= LONGEST
    assert [piece for _, piece in pieces] == ([0] if whole else list(range(1, len(pieces) + 1)))


def test_long_and_not_text() -> None:
    """64 KiB and more of bytes that are no UTF-8 are cut as well, and what stands after a `\\r` may be as long."""
    assert [piece for _, piece in fed(b"\x80" * (LONGEST + 1) + b"\n")] == [1, 2]
    pieces = fed(b"bar\r" + b"y" * (2 * LONGEST), b"y\n", b"z\n")
    assert "".join(body for body, _ in pieces[:-1]) == "y" * (2 * LONGEST + 1)
    assert pieces[-1] == ("z", 0)


def test_memory_is_bounded() -> None:
    """A bar that is rewritten for ever, and a line that never ends, are not kept."""
    splitter = Splitter()
    for n in range(2000):
        splitter.feed(b"\r" + b"%d%%" % n * 100, 0.0)
    assert len(splitter._rest) < 1000
    for _ in range(20):
        splitter.feed(b"x" * LONGEST, 0.0)
    assert len(splitter._rest) <= LONGEST + 2


def test_progress_bar() -> None:
    """A bar that moves ten times a second for ten seconds is about one line a second, its last state once."""
    splitter = Splitter()
    given: list[tuple[str, int]] = []
    for n in range(101):
        given += splitter.feed(b"\r%d%%" % n, n / 10)
        given += splitter.idle(n / 10 + 0.05)
    given += splitter.feed(b"\ndone\n", 10.1)
    assert 10 <= len(given) - 1 <= 12
    assert given[0] == ("0%", 0)
    assert given[-2:] == [("100%", 0), ("done", 0)]
    assert len(set(given)) == len(given)


def test_a_bar_that_stands_still() -> None:
    """The state of a bar that stopped moving is given once, a second after the one before, and not again."""
    splitter = Splitter()
    assert splitter.feed(b"\r1%", 0.0) == [("1%", 0)]
    assert splitter.feed(b"\r2%", 0.1) == []
    assert splitter.idle(0.9) == []
    assert splitter.idle(1.1) == [("2%", 0)]
    assert splitter.idle(5.0) == []
    assert splitter.end() == []


def test_a_line_without_an_end() -> None:
    """Text without a line feed is given after a second; what follows is a line, a line feed alone is none."""
    splitter = Splitter()
    assert splitter.feed(b"Loading... ", 0.0) == []
    assert splitter.idle(0.9) == []
    assert splitter.idle(1.0) == [("Loading... ", 0)]
    assert splitter.idle(9.0) == []
    assert splitter.feed(b"done\n", 9.0) == [("done", 0)]
    splitter.feed(b"Password:", 10.0)
    assert splitter.idle(11.0) == [("Password:", 0)]
    assert splitter.feed(b"\n\n", 12.0) == [("", 0)]
