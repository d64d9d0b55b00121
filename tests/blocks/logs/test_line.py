"""A line and its JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.logs.line import LogLine, decode, encode, stamp

MOMENT = datetime(2026, 11, 3, 12, 0, 0, 7, UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LINES = st.builds(
    LogLine,
    time=st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)),
    body=TEXT,
    training_id=TEXT,
    attempt=st.integers(1),
    instance=st.integers(0),
    sequence=st.integers(1),
    log_level=st.sampled_from(["INFO", "WARNING", "ERROR"]),
    source=st.sampled_from(["script", "platform"]),
    category=TEXT,
    log_type=TEXT,
    piece=st.integers(0, 3),
)


def test_fields_of_the_guide() -> None:
    """The names on the wire are those that users query in Log & Crash Search."""
    line = LogLine(MOMENT, "손실 0.1", "t-1", 2, 0, 7, "ERROR")
    assert json.loads(encode([line])) == {
        "time": "2026-11-03T12:00:00.000007Z",
        "body": "손실 0.1",
        "logLevel": "ERROR",
        "logType": "NHNCloud-AIEasyMaker",
        "category": "easymaker.training",
        "trainingId": "t-1",
        "attempt": 2,
        "instance": 0,
        "source": "script",
        "sequence": 7,
    }


@given(st.lists(LINES, max_size=4))
def test_round_trip(lines: list[LogLine]) -> None:
    """Any lines are one JSON object a line each, and come back as they were."""
    texts = encode(lines).split(b"\n")
    assert texts.pop() == b""
    assert [decode(text) for text in texts] == lines


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b'"x"', b"null", b'{"body": "x"}', b"\0\0\n", b'{"time": 3}'])
def test_not_a_line(text: bytes) -> None:
    """What is no whole line of ours is a ValueError."""
    with pytest.raises(ValueError):
        decode(text)


def test_time_is_utc_and_as_wide_as_always() -> None:
    """Another zone's time is written in UTC, and a whole second has its zeros."""
    assert stamp(datetime(2026, 11, 3, 9, 0, 0, 0, timezone(timedelta(hours=9)))) == "2026-11-03T00:00:00.000000Z"
