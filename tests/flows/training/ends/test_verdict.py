"""From what is known of an attempt's end to what becomes of its training."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.records.tables import Attempt, Training, now
from blocks.records.trainings import seconds_trained
from blocks.records.words import TERMINAL, Phase, Reason, TrainingState, Wish
from flows.training.ends.engine_words import ENGINE
from flows.training.ends.retries import BACK_OFF, Ended
from flows.training.ends.verdict import Cause, Evidence, Verdict, decide

T, R, C = TrainingState, Reason, Cause
GOES_ON, FAILS = T.CREATE_IN_PROGRESS, T.FAIL_TRAIN
BUDGETS = sum(map(len, BACK_OFF.values()))


def ended(*reasons: str) -> list[Ended]:
    """Return a history: reasons, `+` behind one that committed a checkpoint, nothing for one that was paused."""
    return [Ended(R(word.rstrip("+")) if word.rstrip("+") else None, word.endswith("+")) for word in reasons]


@pytest.mark.parametrize(
    ("evidence", "wish", "state", "reason"),
    [
        # The script ended by itself, and well.
        (Evidence(C.EXIT, exit_code=0), "", T.COMPLETE, None),
        (Evidence(C.EXIT, exit_code=0, oom_kills=1), "", T.COMPLETE, None),
        (Evidence(C.EXIT, exit_code=0, engine="Evicted"), "", T.COMPLETE, None),
        (Evidence(C.EXIT, exit_code=0), "SUSPEND", T.COMPLETE, None),
        # Somebody wished for it: whatever the script made of it.
        (Evidence(C.STOPPED), "STOP", T.STOPPED, R.USER),
        (Evidence(C.EXIT, exit_code=1), "STOP", T.STOPPED, R.USER),
        (Evidence(C.EXIT, exit_code=0), "STOP", T.STOPPED, R.USER),
        (Evidence(C.LOST), "STOP", T.STOPPED, R.USER),
        (Evidence(C.MEMORY), "STOP", T.STOPPED, R.USER),
        (Evidence(C.DEADLINE), "STOP", T.STOPPED, R.USER),
        (Evidence(C.LOST, engine="Evicted"), "STOP", T.STOPPED, R.USER),
        (Evidence(C.CANCELLED), "", T.STOPPED, R.USER),
        (Evidence(C.CANCELLED), "SUSPEND", T.STOPPED, R.USER),
        (Evidence(C.DEADLINE), "", T.STOPPED, R.MAX_TRAINING_TIME),
        (Evidence(C.DEADLINE), "SUSPEND", T.STOPPED, R.MAX_TRAINING_TIME),
        # The platform goes down: it goes on later.
        (Evidence(C.STOPPED), "SUSPEND", GOES_ON, R.INTERRUPTED),
        (Evidence(C.ORPHANED), "SUSPEND", GOES_ON, R.INTERRUPTED),
        (Evidence(C.EXIT, signal=9), "SUSPEND", GOES_ON, R.INTERRUPTED),
        (Evidence(C.LOST), "SUSPEND", GOES_ON, R.MACHINE_LOST),
        (Evidence(C.EXIT, exit_code=1), "SUSPEND", FAILS, R.USER_ERROR),
    ],
)
def test_what_was_wished_and_what_went_well_goes_first(
    evidence: Evidence, wish: str, state: TrainingState, reason: Reason | None
):
    """A success, a stop, a time that is over and a pause are what they are, whatever else is known."""
    verdict = decide(evidence, Wish(wish))
    assert (verdict.state, verdict.reason) == (state, reason)


LOST, AWAY, UNCLAIMED = Evidence(C.LOST), Evidence(C.STORAGE), Evidence(C.UNCLAIMED)


@pytest.mark.parametrize(
    ("evidence", "history", "keeps", "told"),
    [
        (LOST, [], True, "Save to EM_CHECKPOINT_DIR now and then: a next attempt goes on from there."),
        (LOST, ["STORAGE+"], True, "What is saved more often loses less."),
        (LOST, [], False, "Give it a checkpoint path. Save to EM_CHECKPOINT_DIR now and then"),
        (Evidence(C.EXIT, signal=9), [], False, "Give it a checkpoint path."),
        (Evidence(C.ORPHANED), ["INTERRUPTED+"], True, "What is saved more often loses less."),
        (Evidence(C.LOST, engine="Evicted"), [], False, "Give it a checkpoint path."),
        (
            Evidence(C.DEADLINE),
            [],
            True,
            "what it had saved by then is kept. To train on, copy it with a longer one and",
        ),
        (Evidence(C.DEADLINE), [], False, "is over. Copy it with a longer one, and with a checkpoint path"),
    ],
)
def test_the_advice_fits_what_the_training_saves(evidence: Evidence, history: list[str], keeps: bool, told: str):
    """Nobody is told to do what is done already, nor of checkpoints that were never asked for."""
    assert told in decide(evidence, Wish.NONE, ended(*history), keeps=keeps).message


@pytest.mark.parametrize(
    ("evidence", "history", "committed", "state", "seconds"),
    [
        # Each reason has its own budget, and its own waits.
        (Evidence(C.STOPPED), [], False, GOES_ON, 2),
        (Evidence(C.STOPPED), ["INTERRUPTED"] * 2, False, GOES_ON, 120),
        (Evidence(C.STOPPED), ["INTERRUPTED"] * 3, False, FAILS, 0),
        (Evidence(C.EXIT, exit_code=137), ["INTERRUPTED"], False, GOES_ON, 30),
        (Evidence(C.EXIT, exit_code=137), ["INTERRUPTED"] * 3, False, FAILS, 0),
        (LOST, [], False, GOES_ON, 2),
        (LOST, ["MACHINE_LOST"], False, GOES_ON, 30),
        (LOST, ["MACHINE_LOST"] * 3, False, FAILS, 0),
        (AWAY, [], False, GOES_ON, 60),
        (AWAY, ["STORAGE"] * 2, False, GOES_ON, 900),
        (AWAY, ["STORAGE"] * 3, False, FAILS, 0),
        (UNCLAIMED, ["PENDING_TIMEOUT"], False, GOES_ON, 120),
        (UNCLAIMED, ["PENDING_TIMEOUT"] * 2, False, FAILS, 0),
        (Evidence(C.PLATFORM), [], False, GOES_ON, 10),
        (Evidence(C.PLATFORM), ["PLATFORM"], False, FAILS, 0),
        # Others between them neither count nor make those forgotten.
        (LOST, ["STORAGE"] * 3, False, GOES_ON, 2),
        (LOST, ["MACHINE_LOST", "STORAGE", "MACHINE_LOST"], False, GOES_ON, 120),
        (LOST, ["MACHINE_LOST", "STORAGE"] * 3, False, FAILS, 0),
        # A checkpoint costs nothing and begins all counts anew.
        (LOST, ["MACHINE_LOST"] * 3, True, GOES_ON, 2),
        (LOST, ["MACHINE_LOST"] * 3 + ["STORAGE+"], False, GOES_ON, 2),
        (LOST, ["MACHINE_LOST"] * 3 + ["MACHINE_LOST+"], False, GOES_ON, 2),
        (LOST, ["MACHINE_LOST+"] * 50, False, GOES_ON, 2),
        (LOST, ["MACHINE_LOST+"] + ["MACHINE_LOST"] * 3, False, FAILS, 0),
        # A pause counts for nothing; a checkpoint of one that was paused counts as any other.
        (Evidence(C.STOPPED), ["INTERRUPTED", "", "", ""], False, GOES_ON, 30),
        (LOST, ["MACHINE_LOST"] * 3 + ["+"], False, GOES_ON, 2),
        # What would end the same way is not tried again, whatever it has saved.
        (Evidence(C.MEMORY), [], True, FAILS, 0),
        (Evidence(C.EXIT, exit_code=1), [], True, FAILS, 0),
        (Evidence(C.REQUIREMENTS), [], True, FAILS, 0),
        (Evidence(C.DATA), [], True, FAILS, 0),
        (Evidence(C.IMAGE), [], True, FAILS, 0),
        (Evidence(C.OUTPUT), [], True, FAILS, 0),  # a place that refuses will refuse again
    ],
)
def test_what_is_tried_again_and_when(
    evidence: Evidence, history: list[str], committed: bool, state: TrainingState, seconds: int
):
    """At each edge of each budget: whether there is a next try, and for how long it waits."""
    verdict = decide(evidence, Wish.NONE, ended(*history), committed=committed)
    assert (verdict.state, verdict.after_seconds) == (state, seconds)


def test_a_pause_waits_for_the_platform_and_for_no_back_off():
    """However often it was paused; a machine that is lost meanwhile still has its budget."""
    paused = decide(Evidence(C.STOPPED), Wish.SUSPEND, ended(*["INTERRUPTED"] * 9))
    lost = decide(LOST, Wish.SUSPEND, ended("MACHINE_LOST"))
    assert (paused.state, paused.after_seconds) == (lost.state, lost.after_seconds) == (GOES_ON, 0)
    assert paused.message == "The platform was stopped; it goes on when that is up."
    assert "is tried again when the platform is up" in lost.message
    assert decide(LOST, Wish.SUSPEND, ended(*["MACHINE_LOST"] * 3)).state == FAILS


@pytest.mark.parametrize(
    ("history", "committed", "told"),
    [
        ([], False, "It is tried again in 2 s (retry 1 of 3)."),
        (["MACHINE_LOST"] * 2, False, "It is tried again in 2 min (retry 3 of 3)."),
        (["MACHINE_LOST"] * 2, True, "It is tried again in 2 s (from its newest checkpoint)."),
        (
            ["MACHINE_LOST"] * 3,
            False,
            "not tried again: 4 attempts have ended like this without a new checkpoint.",
        ),
    ],
)
def test_a_person_is_told_what_comes_next(history: list[str], committed: bool, told: str):
    """When it is tried again and which try that is, or why it is not."""
    assert decide(LOST, Wish.NONE, ended(*history), committed=committed).message.endswith(told)


def test_what_fails_at_once_counts_nothing():
    """A script's own failure is not said to have ended so before."""
    assert "tried again" not in decide(Evidence(C.EXIT, exit_code=1), Wish.NONE, ended("INTERRUPTED")).message


LINES = ["Traceback (most recent call last):", "CUDA out of memory", "No space left on device", "[rank0]: MemoryError"]
EVIDENCE = st.builds(
    Evidence,
    st.sampled_from(list(Cause)),
    exit_code=st.none() | st.integers(0, 255) | st.sampled_from([0, 1, 137, 247]),
    signal=st.none() | st.integers(1, 64) | st.just(9),
    oom_kills=st.integers(0, 2),
    peak_memory_bytes=st.integers(0, 2**40),
    memory_limit_bytes=st.integers(0, 2**40),
    error=st.text(max_size=30),
    last_lines=st.lists(st.text(max_size=20) | st.sampled_from(LINES), max_size=5).map(tuple),
    engine=st.sampled_from(["", "OOMKilled", "Error", *ENGINE]),
    phase=st.sampled_from(["", *Phase]),
)
WISHES = st.sampled_from(list(Wish))
HISTORY = st.lists(st.builds(Ended, st.none() | st.sampled_from(list(BACK_OFF)), st.booleans()), max_size=12)


@given(EVIDENCE, WISHES, HISTORY, st.booleans())
def test_every_end_has_a_verdict(evidence: Evidence, wish: Wish, history: list[Ended], committed: bool):
    """Whatever is known, there is a state to go to, a sentence, and, unless it completed, a reason."""
    verdict = decide(evidence, wish, history, committed=committed)
    assert verdict.state in TERMINAL | {T.CREATE_IN_PROGRESS}
    assert verdict.message.endswith((".", "!", "?"))
    assert (verdict.reason is None) == (verdict.state == T.COMPLETE)
    assert verdict.after_seconds == 0 or verdict.state == GOES_ON


@given(EVIDENCE, WISHES, HISTORY, st.booleans())
def test_the_same_evidence_has_the_same_verdict(evidence: Evidence, wish: Wish, history: list[Ended], committed: bool):
    """Also once it has gone over the wire and into the records, where it is JSON."""
    stored = json.loads(json.dumps(evidence.to_json()))
    back = Evidence(**stored | {"cause": Cause(stored["cause"])})
    first = decide(evidence, wish, history, committed=committed)
    assert decide(evidence, wish, history, committed=committed) == first
    assert decide(back, wish, history, committed=committed) == first


@given(EVIDENCE, HISTORY, st.booleans())
def test_a_stop_is_always_obeyed(evidence: Evidence, history: list[Ended], committed: bool):
    """Whatever happened to the script, who asked for a stop gets STOPPED, reason USER."""
    verdict = decide(evidence, Wish.STOP, history, committed=committed)
    assert (verdict.state, verdict.reason) == (T.STOPPED, R.USER)


@given(EVIDENCE, WISHES, HISTORY, st.booleans())
def test_only_a_script_that_ended_well_completes(evidence: Evidence, wish: Wish, history: list[Ended], committed: bool):
    """COMPLETE means exit code 0, seen by the launcher."""
    if decide(evidence, wish, history, committed=committed).state == T.COMPLETE:
        assert (evidence.cause, evidence.exit_code) == (C.EXIT, 0)


@given(EVIDENCE, HISTORY, st.booleans())
def test_a_time_that_is_over_is_never_tried_again(evidence: Evidence, history: list[Ended], committed: bool):
    """Whatever is known besides, and whatever was saved."""
    verdict = decide(replace(evidence, cause=C.DEADLINE), Wish.NONE, history, committed=committed)
    assert (verdict.state, verdict.reason) == (T.STOPPED, R.MAX_TRAINING_TIME)


@given(EVIDENCE, HISTORY)
def test_out_of_memory_has_evidence(evidence: Evidence, history: list[Ended]):
    """Without our watcher, the kernel's count, the engine's word or the script's own words nothing is taken for it."""
    silent = replace(evidence, last_lines=(), oom_kills=0, engine=evidence.engine.replace("OOMKilled", ""))
    if decide(silent, Wish.NONE, history).reason == R.OUT_OF_MEMORY:
        assert silent.cause == C.MEMORY


def trained(ends: Sequence[tuple[Evidence, Wish, bool]]) -> tuple[list[Verdict], list[Ended]]:
    """Follow a training through its attempts' ends, to its own or the last of these; returns verdicts and history."""
    verdicts, history = list[Verdict](), list[Ended]()
    for evidence, wish, committed in ends:
        verdicts.append(decide(evidence, wish, history, committed=committed))
        if verdicts[-1].state != GOES_ON:
            break
        history.append(Ended(None if wish == Wish.SUSPEND else verdicts[-1].reason, committed))
    return verdicts, history


ENDS = st.lists(st.tuples(EVIDENCE, st.just(Wish.NONE), st.booleans()), min_size=1, max_size=60)


@given(ENDS)
def test_between_two_checkpoints_no_more_is_tried_than_the_budgets_hold(ends: list[tuple[Evidence, Wish, bool]]):
    """Each checkpoint buys one try; those that leave none are at most all budgets together, and each reason its own."""
    _, history = trained(ends)
    stretch: list[Ended] = []
    for earlier in history:
        stretch = [] if earlier.committed else [*stretch, earlier]
        assert len(stretch) <= BUDGETS
        assert all(sum(one.reason == reason for one in stretch) <= len(waits) for reason, waits in BACK_OFF.items())
    commits = sum(earlier.committed for earlier in history)
    assert len(history) <= commits + BUDGETS * (commits + 1)


@given(st.lists(st.tuples(EVIDENCE, st.just(Wish.NONE), st.just(False)), min_size=1, max_size=4))
def test_what_saves_nothing_ends(ends: list[tuple[Evidence, Wish, bool]]):
    """However its attempts end, in whatever turns: without a checkpoint the budgets are all that is tried."""
    turns = cycle(ends)
    verdicts, history = trained([next(turns) for _ in range(BUDGETS + 1)])
    assert verdicts[-1].state != GOES_ON
    assert len(history) <= BUDGETS


MAXIMUM = 20.0


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Evidence, bool, int, float]:
    """An end, whether it committed a checkpoint (what does has trained), how long it ran, how the wall clock moved."""
    committed = draw(st.booleans())
    return draw(EVIDENCE), committed, draw(st.integers(int(committed), 9)), draw(st.floats(-1e6, 1e6))


@given(st.lists(rounds(), min_size=1, max_size=5))
def test_every_training_ends_and_only_its_running_costs_it_time(ends: list[tuple[Evidence, bool, int, float]]):
    """The maximum time ends what checkpoints let go on, however long it waits and wherever the clock is set."""
    training, history, wall, ran, turns = Training(), list[Ended](), now(), 0.0, cycle(ends)
    for _ in range(int(MAXIMUM) + BUDGETS * int(MAXIMUM + 1) + 1):
        evidence, committed, seconds, moved = next(turns)
        left = MAXIMUM - seconds_trained(training)
        assert left == MAXIMUM - ran
        ran += min(seconds, left)
        over = wall + timedelta(seconds=moved)
        training.attempts.append(Attempt(running_at=wall, stopped_running_at=over, ran_seconds=min(seconds, left)))
        verdict = decide(Evidence(C.DEADLINE) if seconds >= left else evidence, Wish.NONE, history, committed=committed)
        if verdict.state != GOES_ON:
            return
        history.append(Ended(verdict.reason, committed))
        wall = over + timedelta(seconds=verdict.after_seconds + moved)
    raise AssertionError("it goes on for ever")
