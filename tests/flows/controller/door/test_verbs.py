"""What the verbs of a living attempt write."""

from collections.abc import Callable
from typing import Any

from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.words import TrainingState
from tests.flows.controller.door.calls import EVIDENCE, GOOD

T = TrainingState
Call = Callable[..., Any]


def test_a_beat_brings_the_wish(here: Platform, call: Call, attempt_of: Call, attempt_id: str):
    """What it is doing is kept, and a stop reaches it with the next answer."""
    assert call("beat", {"progress": "epoch 3"}).json() == {"wish": ""}
    assert attempt_of(attempt_id).progress == "epoch 3"
    with here.records.writing() as session:
        trainings.wish_stop(session, trainings.find(session, attempt_id.removesuffix("-a1")))
    assert call("beat").json() == {"wish": "STOP"}


def test_a_script_that_ends_well_completes(call: Call, attempt_of: Call, attempt_id: str):
    """run, checkpoint, stage-out, end: each state in turn, and the answer is what became of it."""
    seen = []
    for verb in ("run", "checkpoint", "stage-out"):
        assert call(verb, GOOD[verb]).json() == {}
        seen.append(attempt_of(attempt_id).training.state)
    assert seen == [T.RUNNING, T.RUNNING, T.COMPLETE_IN_PROGRESS]
    assert call("end", {"evidence": EVIDENCE}).json()["state"] == "COMPLETE"
    row = attempt_of(attempt_id)
    assert (row.training.state, row.evidence, len(row.checkpoints)) == (T.COMPLETE, EVIDENCE, 1)


def test_a_checkpoint_told_twice_is_one(call: Call, attempt_of: Call, attempt_id: str):
    """An answer that was lost makes no second one."""
    for _ in range(2):
        assert call("checkpoint", GOOD["checkpoint"]).status_code == 200
    (kept,) = attempt_of(attempt_id).checkpoints
    assert (kept.number, kept.path, kept.files, kept.bytes) == (1, "file:///c/checkpoint-1", 2, 3)


def test_a_warning_is_an_event(here: Platform, call: Call, attempt_id: str):
    """People see it; a long one is cut."""
    call("warn", {"message": "x" * 5000})
    with here.records.reading() as session:
        event = trainings.events_of(session, "training", attempt_id.removesuffix("-a1"))[-1]
    assert event.message == "x" * 2000


def test_of_the_times_that_are_told_the_longest_is_kept(call: Call, attempt_of: Call, attempt_id: str):
    """With a beat, the script's end and the attempt's: what arrives late takes nothing back."""
    kept = []
    for verb, seconds in [("run", 0), ("beat", 5), ("beat", 3.5), ("stage-out", 9), ("beat", 4), ("end", 9.25)]:
        assert call(verb, GOOD[verb] | {"ran_seconds": seconds}).status_code == 200
        kept.append(attempt_of(attempt_id).ran_seconds)
    assert kept == [0, 5, 5, 9, 9, 9.25]


def test_an_instance_of_an_older_version_tells_no_time(call: Call, attempt_of: Call, attempt_id: str):
    """Every verb is understood without it; its time is the difference of when it was heard of, as it always was."""
    for verb in ("run", "beat", "stage-out", "end"):
        assert call(verb, GOOD[verb]).status_code == 200
    row = attempt_of(attempt_id)
    assert row.ran_seconds is None
    assert trainings.ran_seconds(row) == (row.stopped_running_at - row.running_at).total_seconds() > 0
