"""Markdown that what people typed cannot break out of, and figures as people read them."""

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows.markdown import cell, code, duration, fenced, moment, rows, sentence, size

TYPED = st.text(max_size=60) | st.text(alphabet="`|\\[]()<>*_~#!&\n\r\t ab-", max_size=30)
HOSTILE = ["a|b", "`x|y`", "\\|", "<img src=x onerror=alert(1)>", "[a](javascript:b)", "**b**", "a\n| b |"]
HOSTILE += ["`\\`|", "&lt;"]


def cells_of(line: str) -> list[str]:
    """Split a line of a table as GFM and marked do: at each bar that no odd number of backslashes precedes."""
    return re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]


@given(TYPED)
@example("a|b")
@example("\\|")
def test_a_cell_stays_one_cell(typed: str):
    """Whatever is typed, its line of the table has as many cells as the head, and is one line."""
    for shown in (cell(typed), code(typed)):
        table = rows(("a", "b"), [(shown, "end")])
        assert len(table.splitlines()) == 3
        assert len(cells_of(table.splitlines()[2])) == 2


@given(TYPED)
def test_a_cell_has_no_markup(typed: str):
    """Nothing is left that Markdown or HTML would read, and what is shown is what was typed, but for its blanks."""
    shown = cell(typed)
    assert not set(re.sub(r"&#\d+;|&[a-z]+;", "", shown)) & set("\\[]*_~`|#<>&")
    assert html.unescape(shown) == " ".join(typed.split())


@given(TYPED)
def test_code_is_one_span_or_plain(typed: str):
    """A text that could end the code span stands there as plain text; any other between two backticks."""
    shown = code(typed)
    if shown.startswith("`"):
        assert shown.count("`") == 2
        assert shown.endswith("`")
        assert "|" not in shown
        assert "\\" not in shown
    else:
        assert shown == cell(typed)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Write `emf up` now.", "Write `emf up` now."),
        ("a_b `x<y` c", "a&#95;b `x<y` c"),
        ("one ` alone", "one &#96; alone"),
        ("`a|b` it", "a&#124;b it"),
        ("``", ""),
    ],
)
def test_what_stands_between_backticks_is_code(line: str, shown: str):
    """All else is plain, also what could end the code or the cell."""
    assert sentence(line) == shown


@given(st.text(alphabet="`~\n ab", max_size=60))
def test_nothing_ends_a_fence_but_its_end(typed: str):
    """The fence is longer than any row of backticks inside."""
    lines = fenced(typed).split("\n")
    fence = lines[0].removesuffix("text")
    assert lines[-1] == fence
    assert set(fence) == {"`"}
    assert not any(line.strip().startswith(fence) for line in lines[1:-1])


@pytest.mark.parametrize("typed", HOSTILE)
def test_hostile_texts_lose_their_power(typed: str):
    """The classics: bars, code, tags, links, line breaks."""
    shown = cell(typed)
    assert not re.search(r"[|`<>\[\]*\n]", shown)
    assert html.unescape(html.unescape(shown)).split() == html.unescape(typed).split()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (250, "4 min 10 s"),
        (3599.7, "1 h 0 min"),
        (2_592_000, "720 h 0 min"),
    ],
)
def test_a_span_of_time(seconds: float, shown: str):
    """Two units at most; never 60 of one."""
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (2**51, "2048.0 TiB")],
)
def test_a_size(count: int, shown: str):
    """Binary units."""
    assert size(count) == shown


def test_a_moment():
    """A time in UTC without its fraction; nothing for nothing."""
    assert moment("2026-11-03T12:00:05.123456+00:00") == "2026-11-03 12:00:05"
    assert moment("") == ""
