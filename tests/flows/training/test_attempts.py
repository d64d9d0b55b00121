"""What went before an attempt, and how it is closed."""

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import checkpoints as committing
from blocks.records import trainings
from blocks.records.tables import Attempt, now
from blocks.records.transitions import transition
from blocks.records.words import Reason, TrainingState, Wish
from flows.training import attempts
from flows.training.verdict import Cause, Evidence

T, R = TrainingState, Reason
History = list[tuple[str, int]]


def recorded(here: Platform, training_id: str, history: History, checkpoints: int = 0) -> str:
    """Record ended attempts, each by its reason and how many checkpoints it left, and an open one; returns its id."""
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        for reason, kept in [*history, ("", checkpoints)]:
            attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
            for number in range(kept):
                committing.committed(session, attempt, number + 1, f"file:///c/{number}", files=1, size=1, keep=3)
            if reason:
                evidence = {"suspended": True} if reason == "SUSPENDED" else {}
                word = R.INTERRUPTED if reason == "SUSPENDED" else R(reason)
                verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=word, message="", evidence=evidence)
        return attempt.id


def close(here: Platform, attempt_id: str, evidence: Evidence, wish: Wish | None = None) -> None:
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        if wish is not None:
            attempt.training.wish = wish
        attempts.close(session, attempt, evidence)


@pytest.mark.parametrize(
    ("history", "checkpoints", "count"),
    [
        ([], 0, 0),
        ([("MACHINE_LOST", 0)], 0, 1),
        ([("MACHINE_LOST", 0)] * 3, 0, 3),
        ([("MACHINE_LOST", 0), ("STORAGE", 0)], 0, 0),  # another reason came between
        ([("STORAGE", 0), ("MACHINE_LOST", 0)], 0, 1),
        ([("MACHINE_LOST", 0), ("MACHINE_LOST", 2), ("MACHINE_LOST", 0)], 0, 1),  # the second came further
        ([("MACHINE_LOST", 0)] * 3, 1, 0),  # this one came further
    ],
)
def test_how_many_ended_alike(here, make, history: History, checkpoints: int, count: int):
    """Those just before it, for the same reason, since the last checkpoint."""
    attempt_id = recorded(here, make(), history, checkpoints)
    with here.records.reading() as session:
        assert attempts.ended_alike(session.get(Attempt, attempt_id), R.MACHINE_LOST) == count


@pytest.mark.parametrize(
    ("history", "count"),
    [
        ([], 0),
        ([("STORAGE", 0), ("MACHINE_LOST", 0)] * 3, 6),  # whatever ended them
        ([("STORAGE", 0), ("MACHINE_LOST", 1), ("STORAGE", 0)], 3),  # a checkpoint of its first seconds
        ([("STORAGE", 0), ("SUSPENDED", 0)], 1),
    ],
)
def test_how_many_came_no_further(here, make, history: History, count: int):
    """All that nobody wished for, since the last checkpoint of an attempt that ran for a while."""
    attempt_id = recorded(here, make(), history)
    with here.records.reading() as session:
        assert attempts.no_further(session.get(Attempt, attempt_id)) == count


def test_who_ran_for_a_while_came_further(here, make):
    """A checkpoint after ten minutes of training begins the count anew, also its own."""
    attempt_id = recorded(here, make(), [("STORAGE", 0), ("MACHINE_LOST", 1), ("STORAGE", 0)])
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        second = attempt.training.attempts[1]
        second.running_at = second.ended_at - attempts.FURTHER
        assert attempts.no_further(attempt) == 1
        committing.committed(session, attempt, 1, "file:///c/1", files=1, size=1, keep=3)
        attempt.running_at = now() - attempts.FURTHER
        assert attempts.no_further(attempt) == 0


def test_storage_and_machine_in_turns_end(here, make, attempt_of):
    """Two faults that alternate are not tried for ever."""
    attempt_id = recorded(here, make(), [("STORAGE", 0), ("MACHINE_LOST", 1)] * 4)
    close(here, attempt_id, Evidence(Cause.STORAGE, error="away"))
    assert attempt_of(attempt_id).training.state == T.FAIL_TRAIN


@pytest.mark.parametrize(("state", "ends"), [("CREATE_IN_PROGRESS", "CREATE_FAILED"), ("STOP_IN_PROGRESS", "STOPPED")])
def test_what_can_never_begin_is_refused(here, make, attempt_of, state: str, ends: str):
    """CREATE_FAILED with the words; a stop that was asked for stays one."""
    attempt_id = recorded(here, make(T(state)), [])
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        if state == "STOP_IN_PROGRESS":
            attempt.training.reason, attempt.training.wish = R.USER, Wish.STOP
        attempts.refuse(session, attempt, "no such image")
    row = attempt_of(attempt_id)
    assert row.training.state == ends
    assert state != "CREATE_IN_PROGRESS" or "no such image" in row.training.message


def test_a_pause_counts_for_no_failure(here, make):
    """A training that was paused with the platform four times is as good as new when it is interrupted."""
    attempt_id = recorded(here, make(), [("INTERRUPTED", 0), *[("SUSPENDED", 0)] * 4])
    with here.records.reading() as session:
        assert attempts.ended_alike(session.get(Attempt, attempt_id), R.INTERRUPTED) == 1


def test_a_pause_is_remembered_as_one(here, make, attempt_of):
    """The attempt that obeyed the wish says so in its evidence; it waits for no back-off."""
    attempt_id = recorded(here, make(), [])
    close(here, attempt_id, Evidence(Cause.STOPPED), Wish.SUSPEND)
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.retry_at) == (T.CREATE_IN_PROGRESS, None)
    assert row.evidence == {"cause": "stopped", "suspended": True}


@pytest.mark.parametrize(("before", "seconds"), [(0, 5), (1, 30), (2, 120)])
def test_each_try_waits_longer(here, make, attempt_of, before: int, seconds: int):
    """5 s, 30 s, 2 min, counted from the end of the attempt."""
    attempt_id = recorded(here, make(), [("MACHINE_LOST", 0)] * before)
    began = now()
    close(here, attempt_id, Evidence(Cause.LOST, error="gone"))
    row = attempt_of(attempt_id)
    assert row.training.state == T.CREATE_IN_PROGRESS
    wait = row.training.retry_at - began
    assert timedelta(seconds=seconds) <= wait <= timedelta(seconds=seconds + 5)


def test_the_budget_ends_the_tries(here, make, attempt_of):
    """The fourth machine that is lost without a checkpoint fails the training; its evidence and message say why."""
    attempt_id = recorded(here, make(), [("MACHINE_LOST", 0)] * 3)
    close(here, attempt_id, Evidence(Cause.LOST, error="silent"))
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.reason) == (T.FAIL_TRAIN, R.MACHINE_LOST)
    assert row.training.evidence == {"cause": "lost", "error": "silent"}
    assert "4 times in a row" in row.training.message
    assert row.training.retry_at is None


IN_PROGRESS = ["CREATE_IN_PROGRESS", "RUNNING", "COMPLETE_IN_PROGRESS", "STOP_IN_PROGRESS", "FAIL_TRAIN_IN_PROGRESS"]


@pytest.mark.parametrize("state", IN_PROGRESS)
def test_every_attempt_can_be_closed(here, make, state: str):
    """Whatever is known of its end, whatever is wished: it ends, says why, and what was decided already stays."""
    for cause, wish in itertools.product(Cause, Wish):
        training_id = make(T(state))
        with here.records.writing() as session:
            row = trainings.find(session, training_id)
            if state in ("STOP_IN_PROGRESS", "FAIL_TRAIN_IN_PROGRESS"):
                row.reason, row.message = R.USER, "a person asked"
            row.wish = wish
            attempt = verbs.grant(session, row, machine="", memory_bytes=1, gpus=[])
            attempts.close(session, attempt, Evidence(cause, exit_code=1))
            assert attempt.ended_at is not None
            assert attempt.reason
            assert attempt.message
            if state in ("STOP_IN_PROGRESS", "FAIL_TRAIN_IN_PROGRESS"):
                assert row.state == {"STOP_IN_PROGRESS": T.STOPPED}.get(state, T.FAIL_TRAIN), (cause, wish)


def test_a_stop_that_was_told_stays_one(here, make, attempt_of):
    """A run cancelled in Prefect that dies before it told its end is STOPPED, not lost."""
    attempt_id = recorded(here, make(), [])
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.run(session, attempt)
        verdict = attempts.judge(attempt, Evidence(Cause.CANCELLED))
        verbs.stage_out(
            session, attempt, T.STOP_IN_PROGRESS, reason=verdict.reason, message=verdict.message, evidence={}
        )
    close(here, attempt_id, Evidence(Cause.LOST, error="silent"))
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.reason) == (T.STOPPED, R.USER)
    assert "cancelled" in row.training.message


def test_the_maximum_time_stays_the_reason(here, make, attempt_of):
    """A training whose time is over ends for that, also when a person asks for a stop while it saves."""
    attempt_id = recorded(here, make(), [])
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.run(session, attempt)
        transition(session, attempt.training, T.STOP_IN_PROGRESS, reason=R.MAX_TRAINING_TIME, message="over")
        trainings.wish_stop(session, attempt.training)
    close(here, attempt_id, Evidence(Cause.STOPPED))
    assert attempt_of(attempt_id).training.reason == R.MAX_TRAINING_TIME


def test_a_failure_that_was_told_stays_one(here, make, attempt_of):
    """A script that failed has failed, whatever is asked or lost afterwards; it is not tried again."""
    attempt_id = recorded(here, make(), [])
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.run(session, attempt)
        evidence = Evidence(Cause.EXIT, exit_code=3, last_lines=["ValueError: b"])
        verdict = attempts.judge(attempt, evidence)
        verbs.stage_out(
            session,
            attempt,
            T.FAIL_TRAIN_IN_PROGRESS,
            reason=verdict.reason,
            message=verdict.message,
            evidence=evidence.to_json(),
        )
        trainings.wish_stop(session, attempt.training)
    close(here, attempt_id, Evidence(Cause.LOST, error="silent"))
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.reason) == (T.FAIL_TRAIN, R.USER_ERROR)
    assert "exit code 3" in row.training.message
    told = {"cause": "exit", "exit_code": 3, "last_lines": ["ValueError: b"]}
    assert row.evidence == row.training.evidence == {"error": "silent", **told}


def test_what_was_told_of_the_script_outlives_its_run(here, make, attempt_of):
    """A run that is lost while it puts the model in its place is tried again; how its script ended stays known."""
    attempt_id = recorded(here, make(), [])
    told = {"cause": "exit", "exit_code": 0, "peak_memory_bytes": 5}
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.stage_out(session, attempt, T.COMPLETE_IN_PROGRESS, reason=None, message="", evidence=told)
    close(here, attempt_id, Evidence(Cause.LOST, error="silent"))
    row = attempt_of(attempt_id)
    assert (row.training.state, row.reason) == (T.CREATE_IN_PROGRESS, R.MACHINE_LOST)
    assert row.evidence == {"error": "silent", **told}


def test_after_its_end_it_holds_nothing(here, make: Callable[..., str]):
    """Its lease is back, and a training that is tried again waits for the next."""
    training_id = make()
    attempt_id = recorded(here, training_id, [])
    close(here, attempt_id, Evidence(Cause.STORAGE, error="away"))
    with here.records.reading() as session:
        assert verbs.open_attempts(session) == []
        assert [row.id for row in trainings.waiting(session)] == [training_id]
