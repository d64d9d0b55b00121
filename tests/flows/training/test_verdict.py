"""From what is known of an attempt's end to what becomes of its training."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.records.words import TERMINAL, Reason, TrainingState, Wish
from flows.training.verdict import BUDGET, LAST_LINES, LINE_CHARACTERS, TRIES, Cause, Evidence, cut, decide, explain

T, R, C = TrainingState, Reason, Cause
GIB = 2**30


@pytest.mark.parametrize(
    ("evidence", "wish", "alike", "state", "reason"),
    [
        # The script ended by itself.
        (Evidence(C.EXIT, exit_code=0), "", 0, T.COMPLETE, None),
        (Evidence(C.EXIT, exit_code=0, oom_kills=1), "", 0, T.COMPLETE, None),
        (Evidence(C.EXIT, exit_code=0), "SUSPEND", 0, T.COMPLETE, None),
        (Evidence(C.EXIT, exit_code=1), "", 0, T.FAIL_TRAIN, R.USER_ERROR),
        (Evidence(C.EXIT, exit_code=137), "", 0, T.FAIL_TRAIN, R.USER_ERROR),
        (Evidence(C.EXIT, exit_code=1), "SUSPEND", 0, T.FAIL_TRAIN, R.USER_ERROR),
        (Evidence(C.EXIT, signal=11), "", 0, T.FAIL_TRAIN, R.USER_ERROR),
        (Evidence(C.EXIT, signal=15), "", 0, T.FAIL_TRAIN, R.USER_ERROR),
        (Evidence(C.EXIT, signal=9), "", 0, T.CREATE_IN_PROGRESS, R.INTERRUPTED),
        (Evidence(C.EXIT, signal=9, oom_kills=1), "", 0, T.FAIL_TRAIN, R.OUT_OF_MEMORY),
        (Evidence(C.EXIT, exit_code=137, oom_kills=1), "", 0, T.FAIL_TRAIN, R.OUT_OF_MEMORY),
        (Evidence(C.EXIT, exit_code=1, oom_kills=2), "", 0, T.FAIL_TRAIN, R.USER_ERROR),  # the kills may be others'
        # Somebody wished for it: whatever the script made of it.
        (Evidence(C.STOPPED), "STOP", 0, T.STOPPED, R.USER),
        (Evidence(C.EXIT, exit_code=1), "STOP", 0, T.STOPPED, R.USER),
        (Evidence(C.EXIT, exit_code=0), "STOP", 0, T.STOPPED, R.USER),
        (Evidence(C.LOST), "STOP", 0, T.STOPPED, R.USER),
        (Evidence(C.MEMORY), "STOP", 0, T.STOPPED, R.USER),
        (Evidence(C.DEADLINE), "STOP", 0, T.STOPPED, R.USER),
        (Evidence(C.CANCELLED), "", 0, T.STOPPED, R.USER),
        (Evidence(C.CANCELLED), "SUSPEND", 0, T.STOPPED, R.USER),
        (Evidence(C.DEADLINE), "", 0, T.STOPPED, R.MAX_TRAINING_TIME),
        (Evidence(C.DEADLINE), "SUSPEND", 0, T.STOPPED, R.MAX_TRAINING_TIME),
        # The platform goes down: it goes on later, however often.
        (Evidence(C.STOPPED), "SUSPEND", 0, T.CREATE_IN_PROGRESS, R.INTERRUPTED),
        (Evidence(C.STOPPED), "SUSPEND", 99, T.CREATE_IN_PROGRESS, R.INTERRUPTED),
        (Evidence(C.ORPHANED), "SUSPEND", 99, T.CREATE_IN_PROGRESS, R.INTERRUPTED),
        (Evidence(C.LOST), "SUSPEND", 3, T.FAIL_TRAIN, R.MACHINE_LOST),
        # What may be better next time is tried again, within its budget.
        (Evidence(C.STOPPED), "", 0, T.CREATE_IN_PROGRESS, R.INTERRUPTED),
        (Evidence(C.STOPPED), "", 2, T.CREATE_IN_PROGRESS, R.INTERRUPTED),
        (Evidence(C.STOPPED), "", 3, T.FAIL_TRAIN, R.INTERRUPTED),
        (Evidence(C.ORPHANED), "", 2, T.CREATE_IN_PROGRESS, R.INTERRUPTED),
        (Evidence(C.LOST), "", 2, T.CREATE_IN_PROGRESS, R.MACHINE_LOST),
        (Evidence(C.LOST), "", 3, T.FAIL_TRAIN, R.MACHINE_LOST),
        (Evidence(C.STORAGE), "", 2, T.CREATE_IN_PROGRESS, R.STORAGE),
        (Evidence(C.STORAGE), "", 3, T.FAIL_TRAIN, R.STORAGE),
        (Evidence(C.OUTPUT), "", 0, T.FAIL_TRAIN, R.STORAGE),  # a place that refuses will refuse again
        (Evidence(C.UNCLAIMED), "", 1, T.CREATE_IN_PROGRESS, R.PENDING_TIMEOUT),
        (Evidence(C.UNCLAIMED), "", 2, T.FAIL_TRAIN, R.PENDING_TIMEOUT),
        (Evidence(C.PLATFORM), "", 0, T.CREATE_IN_PROGRESS, R.PLATFORM),
        (Evidence(C.PLATFORM), "", 1, T.FAIL_TRAIN, R.PLATFORM),
        # What would end the same way is not.
        (Evidence(C.MEMORY), "", 0, T.FAIL_TRAIN, R.OUT_OF_MEMORY),
        (Evidence(C.REQUIREMENTS), "", 0, T.FAIL_TRAIN, R.USER_ERROR),
        (Evidence(C.DATA), "", 0, T.FAIL_TRAIN, R.DATA),
        (Evidence(C.IMAGE), "", 0, T.FAIL_TRAIN, R.IMAGE),
    ],
)
def test_what_becomes_of_a_training(
    evidence: Evidence, wish: str, alike: int, state: TrainingState, reason: Reason | None
):
    """Each kind of end, with each wish, at each edge of its budget."""
    verdict = decide(evidence, Wish(wish), ended_alike=alike)
    assert (verdict.state, verdict.reason) == (state, reason)


EVIDENCE = st.builds(
    Evidence,
    st.sampled_from(list(Cause)),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    oom_kills=st.integers(0, 2),
    peak_memory_bytes=st.integers(0, 2**40),
    memory_limit_bytes=st.integers(0, 2**40),
    error=st.text(max_size=30),
    last_lines=st.lists(st.text(max_size=20), max_size=3).map(tuple),
)
ALIKE = st.integers(0, 10)


@given(EVIDENCE, st.sampled_from(list(Wish)), ALIKE)
def test_every_end_has_a_verdict(evidence: Evidence, wish: Wish, alike: int):
    """Whatever is known, there is a state to go to, a sentence, and, unless it completed, a reason."""
    verdict = decide(evidence, wish, ended_alike=alike)
    assert verdict.state in TERMINAL | {T.CREATE_IN_PROGRESS}
    assert verdict.message
    assert (verdict.reason is None) == (verdict.state == T.COMPLETE)


@given(EVIDENCE, ALIKE)
def test_a_stop_is_always_obeyed(evidence: Evidence, alike: int):
    """Whatever happened to the script, who asked for a stop gets STOPPED, reason USER."""
    verdict = decide(evidence, Wish.STOP, ended_alike=alike)
    assert (verdict.state, verdict.reason) == (T.STOPPED, R.USER)


@given(EVIDENCE, st.sampled_from(list(Wish)), ALIKE)
def test_only_a_script_that_ended_well_completes(evidence: Evidence, wish: Wish, alike: int):
    """COMPLETE means exit code 0, seen by the launcher."""
    if decide(evidence, wish, ended_alike=alike).state == T.COMPLETE:
        assert (evidence.cause, evidence.exit_code) == (C.EXIT, 0)


@given(EVIDENCE)
def test_trying_again_ends(evidence: Evidence):
    """Without a wish, what ends alike often enough fails, and once it fails one more does not revive it."""
    states = [decide(evidence, Wish.NONE, ended_alike=n).state for n in range(max(BUDGET.values()) + 2)]
    assert states[-1] != T.CREATE_IN_PROGRESS
    assert states == sorted(states, key=lambda state: state != T.CREATE_IN_PROGRESS)


@given(EVIDENCE)
def test_evidence_survives_the_records(evidence: Evidence):
    """What is stored as JSON is the same evidence when it is read, and what is empty is not stored."""
    stored = json.loads(json.dumps(evidence.to_json()))
    back = Evidence(**stored | {"last_lines": tuple(stored.get("last_lines", ()))})
    assert back == evidence
    assert "" not in stored.values()
    assert None not in stored.values()


@given(st.text(min_size=0, max_size=20), st.lists(st.integers(0, 70_000), max_size=60))
def test_evidence_is_never_too_long_for_the_door(error: str, lengths: list[int]):
    """However much was said, its JSON is far below 1 MiB; the last lines are kept, and cut twice they are the same."""
    lines = ["\x01" * length for length in lengths]
    evidence = Evidence(Cause.REQUIREMENTS, error=error * 5000, last_lines=lines)
    stored = evidence.to_json()
    assert len(json.dumps(stored)) < 2**19
    assert [len(line) for line in stored.get("last_lines", [])] == [
        min(n, LINE_CHARACTERS) for n in lengths[-LAST_LINES:]
    ]
    assert Evidence(**stored).to_json() == stored


def test_what_is_cut_says_so():
    """A text that was longer ends with `…`; one that fits is whole."""
    assert (cut("abcd", 4), cut("abcde", 4)) == ("abcd", "abc…")


def test_a_failure_shows_what_the_script_said_last():
    """The exit code or signal is named, and the last line of the script."""
    reason, message = explain(Evidence(C.EXIT, exit_code=3, last_lines=("a", "ValueError: no such file")))
    assert (reason, message) == (
        R.USER_ERROR,
        "The script ended with exit code 3. Its last line: ValueError: no such file",
    )
    assert "signal 11 (SIGSEGV)" in explain(Evidence(C.EXIT, signal=11))[1]
    assert "signal 77." in explain(Evidence(C.EXIT, signal=77))[1]


def test_out_of_memory_says_how_much_and_what_to_do():
    """What was used, what there is, and how to need less."""
    evidence = Evidence(C.MEMORY, peak_memory_bytes=3 * GIB // 2, memory_limit_bytes=GIB)
    message = explain(evidence)[1]
    assert "used 1.50 GiB" in message
    assert "has 1.00 GiB" in message
    assert "larger instance type" in message


@pytest.mark.parametrize("cause", [C.REQUIREMENTS, C.DATA, C.STORAGE, C.IMAGE, C.PLATFORM, C.LOST, C.UNCLAIMED])
def test_the_error_is_told_as_it_was(cause: Cause):
    """Words with braces or percent signs come through unchanged."""
    assert "No {such} 100% thing" in explain(Evidence(cause, error="No {such} 100% thing"))[1]


def test_a_training_that_fails_at_last_says_how_often():
    """The message of a first failure does not count, that of a later one does."""
    assert "times in a row" not in decide(Evidence(C.DATA), Wish.NONE).message
    assert "4 times in a row" in decide(Evidence(C.LOST), Wish.NONE, ended_alike=3).message
    assert "tried again" in decide(Evidence(C.LOST), Wish.NONE).message


@pytest.mark.parametrize("cause", [C.LOST, C.STORAGE, C.STOPPED])
def test_reasons_that_take_turns_end_as_well(cause: Cause):
    """However attempts end, only so many may come no further; the message says how many."""
    last = decide(Evidence(cause), Wish.NONE, no_further=TRIES - 2)
    assert last.state == T.CREATE_IN_PROGRESS
    over = decide(Evidence(cause), Wish.NONE, no_further=TRIES - 1)
    assert over.state == T.FAIL_TRAIN
    assert f"{TRIES} attempts came no further" in over.message


def test_a_kill_for_memory_is_told_of():
    """A script that exits by itself beside one has both in its message."""
    assert "short of memory" in explain(Evidence(C.EXIT, exit_code=1, oom_kills=1))[1]
    assert "short of memory" not in explain(Evidence(C.EXIT, exit_code=1))[1]
