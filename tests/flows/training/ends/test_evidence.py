"""What is known of an attempt's end, as it goes over the wire and into the records."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from flows.training.ends.evidence import LAST_LINES, LINE_CHARACTERS, LINES_CHARACTERS, Cause, Evidence, cut

EVIDENCE = st.builds(
    Evidence,
    st.sampled_from(list(Cause)),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    oom_kills=st.integers(0, 2),
    error=st.text(max_size=30),
    last_lines=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    engine=st.text(max_size=9),
    phase=st.sampled_from(["", "RUNNING"]),
)


@given(EVIDENCE)
def test_evidence_survives_the_records(evidence: Evidence):
    """What is stored as JSON is the same evidence when it is read, and what is empty is not stored."""
    stored = json.loads(json.dumps(evidence.to_json()))
    back = Evidence(**stored | {"last_lines": tuple(stored.get("last_lines", ()))})
    assert back == evidence
    assert "" not in stored.values()
    assert None not in stored.values()


@example("e", [70_000] * 130)
@given(st.text(min_size=0, max_size=20), st.lists(st.integers(0, 70_000), max_size=130))
def test_evidence_is_never_too_long_for_the_door(error: str, lengths: list[int]):
    """However much was said, its JSON is far below 1 MiB; the last lines are kept, and cut twice they are the same."""
    lines = ["\x01" * length for length in lengths]
    evidence = Evidence(Cause.REQUIREMENTS, error=error * 5000, last_lines=lines)
    stored = evidence.to_json()
    kept = [len(line) for line in stored.get("last_lines", [])]
    assert len(json.dumps(stored)) < 2**19
    assert kept == [min(length, LINE_CHARACTERS) for length in lengths][len(lengths) - len(kept) :]
    assert Evidence(**stored).to_json() == stored


@example([LINE_CHARACTERS] * 130)
@example([0] * 130)
@given(st.lists(st.integers(0, LINE_CHARACTERS), max_size=130))
def test_as_many_lines_are_kept_as_there_is_room_for(lengths: list[int]):
    """All that fit, up to their number; one more would be too many."""
    kept = len(Evidence(Cause.EXIT, last_lines=["x" * length for length in lengths]).to_json().get("last_lines", []))
    assert kept <= LAST_LINES
    assert kept in (len(lengths), LAST_LINES) or sum(lengths[-kept - 1 :]) > LINES_CHARACTERS


def test_what_is_cut_says_so():
    """A text that was longer ends with `…`; one that fits is whole."""
    assert (cut("abcd", 4), cut("abcde", 4)) == ("abcd", "abc…")
