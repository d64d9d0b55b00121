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
from flows.training.ends import attempts
from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.retries import JITTER, Ended

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


def test_what_went_before_is_the_reasons_and_the_checkpoints_of_earlier_attempts(here, make):
    """In their order; a pause has no reason, and how many checkpoints one committed makes no difference."""
    made = [("MACHINE_LOST", 0), ("SUSPENDED", 1), ("STORAGE", 2), ("SUSPENDED", 0)]
    attempt_id = recorded(here, make(), made, checkpoints=1)
    with here.records.reading() as session:
        assert attempts.history(session.get(Attempt, attempt_id)) == [
            Ended(R.MACHINE_LOST),
            Ended(None, committed=True),
            Ended(R.STORAGE, committed=True),
            Ended(None),
        ]


def test_a_checkpoint_that_gave_way_to_newer_ones_has_been_committed(here, make):
    """Only a training's newest checkpoints are kept; what an earlier attempt committed still counts."""
    attempt_id = recorded(here, make(), [("STORAGE", 1), ("MACHINE_LOST", 3), ("MACHINE_LOST", 0)])
    with here.records.reading() as session:
        attempt = session.get(Attempt, attempt_id)
        assert attempt.training.attempts[0].checkpoints == []
        assert [earlier.committed for earlier in attempts.history(attempt)] == [True, True, False]


@pytest.mark.parametrize(
    ("history", "checkpoints", "state"),
    [
        ([("STORAGE", 0), ("MACHINE_LOST", 1)] * 4, 0, T.CREATE_IN_PROGRESS),  # each was bought by a checkpoint
        ([("STORAGE", 0), ("MACHINE_LOST", 0)] * 3, 0, T.FAIL_TRAIN),  # faults that alternate are no way around
        ([("STORAGE", 0), ("MACHINE_LOST", 0)] * 3, 1, T.CREATE_IN_PROGRESS),
        ([("STORAGE", 0)] * 2 + [("SUSPENDED", 0)] * 9, 0, T.CREATE_IN_PROGRESS),
    ],
)
def test_the_records_hold_what_a_verdict_counts(
    here, make, attempt_of, history: History, checkpoints: int, state: TrainingState
):
    """The attempts since the last checkpoint, for the same reason; a pause is none of them."""
    attempt_id = recorded(here, make(), history, checkpoints)
    close(here, attempt_id, Evidence(Cause.STORAGE, error="away"))
    assert attempt_of(attempt_id).training.state == state


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


def test_a_pause_is_remembered_as_one(here, make, attempt_of):
    """The attempt that obeyed the wish says so in its evidence; it waits for no back-off."""
    attempt_id = recorded(here, make(), [])
    close(here, attempt_id, Evidence(Cause.STOPPED), Wish.SUSPEND)
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.retry_at) == (T.CREATE_IN_PROGRESS, None)
    assert row.evidence == {"cause": "stopped", "phase": "GRANTED", "suspended": True}


@pytest.mark.parametrize(("before", "seconds"), [(0, 2), (1, 30), (2, 120)])
def test_each_try_waits_longer(here, make, attempt_of, before: int, seconds: int):
    """As long as the message says and a little more, counted from the end of the attempt."""
    attempt_id = recorded(here, make(), [("MACHINE_LOST", 0)] * before)
    began = now()
    close(here, attempt_id, Evidence(Cause.LOST, error="gone"))
    row = attempt_of(attempt_id)
    assert row.training.state == T.CREATE_IN_PROGRESS
    wait = row.training.retry_at - began
    assert timedelta(seconds=seconds) <= wait <= timedelta(seconds=seconds * (1 + JITTER) + 5)


def test_what_one_fault_has_ended_does_not_come_back_in_one_moment(here, make, attempt_of):
    """Of many that wait equally long, hardly two wait for the same time."""
    began = now()
    ids = [recorded(here, make(), [("MACHINE_LOST", 0)] * 2) for _ in range(5)]
    for attempt_id in ids:
        close(here, attempt_id, Evidence(Cause.LOST, error="gone"))
    waits = sorted((attempt_of(attempt_id).training.retry_at - began).total_seconds() for attempt_id in ids)
    assert waits[-1] - waits[0] > 0.5


def test_the_budget_ends_the_tries(here, make, attempt_of):
    """The fourth machine that is lost without a checkpoint fails the training; its evidence and message say why."""
    attempt_id = recorded(here, make(), [("MACHINE_LOST", 0)] * 3)
    close(here, attempt_id, Evidence(Cause.LOST, error="silent"))
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.reason) == (T.FAIL_TRAIN, R.MACHINE_LOST)
    assert row.training.evidence == {"cause": "lost", "error": "silent", "phase": "GRANTED"}
    assert "4 attempts have ended like this without a new checkpoint" in row.training.message
    assert row.training.retry_at is None


@pytest.mark.parametrize(
    ("cause", "phase", "told"),
    [
        (Cause.LOST, "GRANTED", "fell silent before it began"),
        (Cause.LOST, "STAGING_IN", "fell silent while its data was staged in"),
        (Cause.LOST, "RUNNING", "fell silent while its script ran"),
        (Cause.STOPPED, "RUNNING", "interrupted from outside while its script ran"),
    ],
)
def test_it_is_told_how_far_the_attempt_had_come(here, make, attempt_of, cause: Cause, phase: str, told: str):
    """Its phase is in the message and stays in the evidence, when the attempt itself is ENDED."""
    attempt_id = recorded(here, make(), [])
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).phase = phase
    close(here, attempt_id, Evidence(cause))
    row = attempt_of(attempt_id)
    assert told in row.message
    assert (row.phase, row.evidence["phase"]) == ("ENDED", phase)


def test_a_script_that_ended_by_itself_says_so_without_a_phase(here, make, attempt_of):
    """Its evidence is what was told of it: it is told while what it made is put in its place."""
    attempt_id = recorded(here, make(), [])
    close(here, attempt_id, Evidence(Cause.EXIT, exit_code=1))
    assert attempt_of(attempt_id).evidence == {"cause": "exit", "exit_code": 1}


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
    assert row.evidence == row.training.evidence == {"error": "silent", "phase": "STAGING_OUT", **told}


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
    assert row.evidence == {"error": "silent", "phase": "STAGING_OUT", **told}
    assert "while what it made was put in its place" in row.message


@pytest.mark.parametrize(("exit_code", "is_told"), [(0, True), (3, False)])
def test_where_the_model_is_kept_is_told_once_nobody_puts_it_away(
    here, make, attempt_of, exit_code: int, is_told: bool
):
    """A script ended well, and its run died again and again while it put the model in its place."""
    attempt_id = recorded(here, make(), [("MACHINE_LOST", 0)] * 3)
    told = {"cause": "exit", "exit_code": exit_code}
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.stage_out(session, attempt, None, reason=None, message="", evidence=told)
    close(here, attempt_id, Evidence(Cause.LOST, error="silent"))
    row = attempt_of(attempt_id)
    assert row.training.state == T.FAIL_TRAIN
    assert (f"is kept in EMF_HOME/kept/{row.training_id}/model until" in row.training.message) == is_told


def test_after_its_end_it_holds_nothing(here, make: Callable[..., str]):
    """Its lease is back, and a training that is tried again waits for the next."""
    training_id = make()
    attempt_id = recorded(here, training_id, [])
    close(here, attempt_id, Evidence(Cause.STORAGE, error="away"))
    with here.records.reading() as session:
        assert verbs.open_attempts(session) == []
        assert [row.id for row in trainings.waiting(session)] == [training_id]
