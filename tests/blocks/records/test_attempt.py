"""The verbs of an attempt: who may speak, and what each verb writes."""

from collections.abc import Callable

import pytest
from sqlalchemy import event

from blocks.records import attempt as verbs
from blocks.records import checkpoints, trainings
from blocks.records.database import Records
from blocks.records.errors import Fenced, NotAllowed
from blocks.records.tables import Attempt
from blocks.records.words import Phase, Reason, TrainingState, Wish

T = TrainingState
GIB = 2**30


@pytest.fixture
def granted(records: Records, make: Callable[..., str]) -> str:
    """The id of an attempt that holds a lease and is not claimed."""
    training_id = make()
    with records.writing() as session:
        row = trainings.find(session, training_id)
        return verbs.grant(session, row, machine="here", memory_bytes=GIB, gpus=["0", "1"]).id


@pytest.fixture
def claimed(records: Records, granted: str) -> str:
    with records.writing() as session:
        verbs.claim(session, granted, "token", "run-1")
    return granted


def state_of(records: Records, attempt_id: str) -> str:
    with records.reading() as session:
        return session.get(Attempt, attempt_id).training.state


def end(records: Records, attempt_id: str, to: TrainingState, reason: Reason | None = Reason.USER_ERROR) -> None:
    with records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.end(session, attempt, to, reason=reason, message="it ended", evidence={"cause": "exit"})


def test_attempts_are_numbered_and_named_after_their_training(records: Records, granted: str):
    """The first is -a1; after it ended the next is -a2; each holds what was granted, and an event says so."""
    training_id = granted.removesuffix("-a1")
    end(records, granted, T.CREATE_IN_PROGRESS)
    with records.writing() as session:
        row = trainings.find(session, training_id)
        second = verbs.grant(session, row, machine="here", memory_bytes=2 * GIB, gpus=[])
        assert (second.id, second.number, second.phase) == (f"{training_id}-a2", 2, Phase.GRANTED)
        messages = [event.message for event in trainings.events_of(session, "training", training_id)]
    assert "Attempt 1 holds 1.0 GiB of memory, GPUs 0, 1." in messages
    assert "Attempt 2 holds 2.0 GiB of memory." in messages


def test_open_attempts_are_those_that_hold_a_lease(records: Records, granted: str):
    """An attempt is listed from its grant to its end, and a training waits only without one."""
    with records.reading() as session:
        assert [row.id for row in verbs.open_attempts(session)] == [granted]
        assert trainings.waiting(session) == []
    end(records, granted, T.CREATE_IN_PROGRESS)
    with records.reading() as session:
        assert verbs.open_attempts(session) == []
        assert [row.id for row in trainings.waiting(session)] == [granted.removesuffix("-a1")]


def test_a_claim_binds_the_attempt_to_its_caller(records: Records, claimed: str):
    """After the claim the attempt has its run and its first beat, and stages in; the token itself is not stored."""
    with records.reading() as session:
        row = session.get(Attempt, claimed)
    assert (row.phase, row.flow_run_id, row.beat_at is not None) == (Phase.STAGING_IN, "run-1", True)
    assert len(row.token_hash) == 64
    assert "token" not in row.token_hash


def test_the_same_caller_may_claim_again(records: Records, claimed: str):
    """A claim whose answer was lost is said again with the same token, and changes nothing."""
    with records.writing() as session:
        row = verbs.claim(session, claimed, "token", "run-2")
        assert row.flow_run_id == "run-1"
        starts = [e for e in trainings.events_of(session, "training", row.training_id) if "started" in e.message]
    assert len(starts) == 1


def test_another_caller_is_fenced(records: Records, claimed: str):
    """A claim with another token is refused, and the first caller's lease is as it was."""
    with records.writing() as session, pytest.raises(Fenced, match="belongs to another run"):
        verbs.claim(session, claimed, "other", "run-2")
    with records.writing() as session:
        assert verbs.authenticate(session, claimed, "token").flow_run_id == "run-1"


@pytest.mark.parametrize("token", ["", "other", "토큰"])
def test_only_its_own_token_speaks_for_an_attempt(records: Records, claimed: str, token: str):
    """Any other token is fenced."""
    with records.writing() as session, pytest.raises(Fenced, match="not that of"):
        verbs.authenticate(session, claimed, token)


def test_nobody_speaks_for_an_attempt_that_is_not_claimed(records: Records, granted: str):
    """Without a claim there is no token, not even the empty one."""
    with records.writing() as session, pytest.raises(Fenced):
        verbs.authenticate(session, granted, "")


@pytest.mark.parametrize("verb", ["claim", "authenticate"])
def test_after_the_end_the_token_is_worth_nothing(records: Records, claimed: str, verb: str):
    """The holder of an attempt that was given up is fenced, whatever it says."""
    end(records, claimed, T.CREATE_IN_PROGRESS, Reason.MACHINE_LOST)
    arguments = (claimed, "token", "run-1") if verb == "claim" else (claimed, "token")
    with records.writing() as session, pytest.raises(Fenced, match="has ended or was given up"):
        getattr(verbs, verb)(session, *arguments)


def test_an_end_whose_answer_was_lost_is_known(records: Records, claimed: str):
    """Its own holder, with the very evidence, is recognised; another token or other evidence is not."""
    end(records, claimed, T.FAIL_TRAIN)
    with records.reading() as session:
        for token, evidence, known in [
            ("token", {"cause": "exit"}, True),
            ("other", {"cause": "exit"}, False),
            ("token", {"cause": "lost"}, False),
            ("token", {"cause": "exit", "exit_code": 1}, False),
        ]:
            assert (verbs.ended_alike_before(session, claimed, token, evidence) is not None) == known


def test_an_attempt_that_never_was_is_fenced(records: Records):
    """An unknown id is no different from one that ended."""
    with records.writing() as session, pytest.raises(Fenced):
        verbs.claim(session, "tr-000000000000-a1", "token", "run-1")


def test_the_code_is_the_same_after_a_restart_and_differs_by_attempt():
    """It depends on the secret and the attempt, and on nothing else."""
    codes = {verbs.claim_code(secret, attempt) for secret in ("s", "t") for attempt in ("a-a1", "a-a2")}
    assert len(codes) == 4
    assert verbs.claim_code("s", "a-a1") in codes


def test_a_beat_answers_the_wish(records: Records, claimed: str):
    """It renews the lease, keeps at most 255 characters of progress, and returns what is wished."""
    with records.writing() as session:
        attempt = session.get(Attempt, claimed)
        before = attempt.beat_at
        assert verbs.beat(attempt, "x" * 300) == Wish.NONE
        assert attempt.beat_at > before
        assert len(attempt.progress) == 255
        trainings.wish_stop(session, attempt.training)
        assert verbs.beat(attempt, "") == Wish.STOP


def test_running_counts_from_the_first_time(records: Records, claimed: str):
    """The training is RUNNING; saying it twice does not move the moment from which the maximum time counts."""
    with records.writing() as session:
        attempt = session.get(Attempt, claimed)
        verbs.run(session, attempt)
        first = attempt.running_at
        verbs.run(session, attempt)
        assert (attempt.running_at, attempt.phase, attempt.training.state) == (first, Phase.RUNNING, T.RUNNING)


def test_of_the_times_that_it_ran_the_longest_is_kept(records: Records, claimed: str):
    """What is told again, or arrives late, takes nothing back."""
    with records.writing() as session:
        attempt = session.get(Attempt, claimed)
        kept = []
        for seconds in (0.0, 2.5, 1.0, 4.0):
            verbs.ran(attempt, seconds)
            kept.append(attempt.ran_seconds)
    assert kept == [0.0, 2.5, 2.5, 4.0]


def test_a_script_that_starts_while_it_is_stopped_does_not_undo_the_stop(records: Records, claimed: str):
    """A stop that came before the script's start stays."""
    with records.writing() as session:
        attempt = session.get(Attempt, claimed)
        trainings.wish_stop(session, attempt.training)
        verbs.run(session, attempt)
        assert attempt.training.state == T.STOP_IN_PROGRESS


def test_staging_out_ends_the_running_time(records: Records, claimed: str):
    """The time trained ends with the script, not with the upload; said twice it is the same."""
    with records.writing() as session:
        attempt = session.get(Attempt, claimed)
        verbs.run(session, attempt)
        verbs.stage_out(session, attempt, T.COMPLETE_IN_PROGRESS, reason=None, message="", evidence={})
        first = attempt.stopped_running_at
        assert first is not None
        verbs.stage_out(session, attempt, T.COMPLETE_IN_PROGRESS, reason=None, message="", evidence={})
        trained = trainings.seconds_trained(attempt.training)
        assert attempt.stopped_running_at == first
        assert trained == (first - attempt.running_at).total_seconds()
        assert (attempt.phase, attempt.training.state) == (Phase.STAGING_OUT, T.COMPLETE_IN_PROGRESS)


@pytest.mark.parametrize(
    ("evidence", "to", "passes"),
    [
        ({"cause": "exit", "exit_code": 0}, T.COMPLETE, [T.RUNNING, T.COMPLETE_IN_PROGRESS, T.COMPLETE]),
        ({"cause": "exit", "exit_code": 1}, T.FAIL_TRAIN, [T.RUNNING, T.FAIL_TRAIN_IN_PROGRESS, T.FAIL_TRAIN]),
        ({"cause": "exit", "signal": 9}, T.CREATE_IN_PROGRESS, [T.RUNNING, T.CREATE_IN_PROGRESS]),
        ({"cause": "data"}, T.FAIL_TRAIN, [T.FAIL_TRAIN_IN_PROGRESS, T.FAIL_TRAIN]),
    ],
)
def test_a_script_whose_start_nobody_heard_of_has_run(records: Records, claimed: str, evidence, to, passes):
    """Its exit code or signal tells so: its training was RUNNING on the way to its end."""
    with records.writing() as session:
        attempt = session.get(Attempt, claimed)
        verbs.end(session, attempt, to, reason=None, message="", evidence=evidence)
        assert (attempt.running_at is not None) == (T.RUNNING in passes)
        told = trainings.events_of(session, "training", attempt.training_id)
        assert [event.state for event in told if event.state][-len(passes) :] == passes
        assert attempt.outcome == to


@pytest.mark.parametrize("evidence", [{"exit_code": 137}, {"signal": 9}])
def test_how_all_of_a_lost_attempt_ended_does_not_say_that_its_script_ran(records: Records, claimed: str, evidence):
    """What an engine tells of a container is told of its staging in as well."""
    with records.writing() as session:
        attempt = session.get(Attempt, claimed)
        verbs.end(
            session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence=evidence | {"cause": "lost"}
        )
        assert attempt.running_at is None
        assert not trainings.has_been(session, attempt.training, T.RUNNING)


def test_staging_out_tells_that_the_script_ran(records: Records, claimed: str):
    """Also where its start was not heard: RUNNING, then COMPLETE_IN_PROGRESS, and the evidence is kept."""
    with records.writing() as session:
        attempt, evidence = session.get(Attempt, claimed), {"exit_code": 0}
        verbs.stage_out(session, attempt, T.COMPLETE_IN_PROGRESS, reason=None, message="", evidence=evidence)
        assert trainings.has_been(session, attempt.training, T.RUNNING)
        assert (attempt.training.state, attempt.evidence) == (T.COMPLETE_IN_PROGRESS, evidence)


def test_a_checkpoint_told_twice_is_one(records: Records, claimed: str):
    """The second telling changes nothing; the next number is another."""
    with records.writing() as session:
        attempt = session.get(Attempt, claimed)
        for number in (1, 1, 2):
            checkpoints.committed(
                session, attempt, number, f"file:///c/checkpoint-{number}", files=3, size=1000, keep=3
            )
    with records.reading() as session:
        assert [c.number for c in session.get(Attempt, claimed).checkpoints] == [1, 2]


def test_only_the_newest_checkpoints_are_kept(records: Records, claimed: str):
    """Of fifty the newest three are in the records, and one event tells that there are any."""
    for number in range(1, 51):
        with records.writing() as session:
            attempt = session.get(Attempt, claimed)
            checkpoints.committed(session, attempt, number, f"file:///c/{number}", files=1, size=1, keep=3)
    with records.reading() as session:
        attempt = session.get(Attempt, claimed)
        told = [e for e in trainings.events_of(session, "training", attempt.training_id) if "heckpoint" in e.message]
        assert [(c.number, c.path) for c in attempt.checkpoints] == [(n, f"file:///c/{n}") for n in (48, 49, 50)]
        assert len(told) == 1


def test_a_beat_loads_its_attempt_alone(records: Records, claimed: str):
    """Neither earlier attempts nor any checkpoints are read while the lock is held."""
    asked: list[str] = []
    with records.writing() as session:
        event.listen(session.connection(), "before_cursor_execute", lambda *given: asked.append(given[2]))
        verbs.beat(verbs.authenticate(session, claimed, "token"), "")
        session.flush()
    assert [statement.split()[0] for statement in asked] == ["SELECT", "UPDATE"]
    assert "checkpoints" not in " ".join(asked)


@pytest.mark.parametrize(
    ("state", "to", "passes"),
    [
        ("RUNNING", T.COMPLETE, [T.COMPLETE_IN_PROGRESS, T.COMPLETE]),
        ("RUNNING", T.STOPPED, [T.STOP_IN_PROGRESS, T.STOPPED]),
        ("RUNNING", T.FAIL_TRAIN, [T.FAIL_TRAIN_IN_PROGRESS, T.FAIL_TRAIN]),
        ("RUNNING", T.CREATE_IN_PROGRESS, [T.CREATE_IN_PROGRESS]),
        ("CREATE_IN_PROGRESS", T.STOPPED, [T.STOPPED]),
        ("CREATE_IN_PROGRESS", T.FAIL_TRAIN, [T.FAIL_TRAIN_IN_PROGRESS, T.FAIL_TRAIN]),
        ("CREATE_IN_PROGRESS", T.CREATE_FAILED, [T.CREATE_FAILED]),
        ("COMPLETE_IN_PROGRESS", T.COMPLETE, [T.COMPLETE]),
        ("COMPLETE_IN_PROGRESS", T.STOPPED, [T.STOP_IN_PROGRESS, T.STOPPED]),
        ("STOP_IN_PROGRESS", T.STOPPED, [T.STOPPED]),
        ("FAIL_TRAIN_IN_PROGRESS", T.FAIL_TRAIN, [T.FAIL_TRAIN]),
    ],
)
def test_an_end_passes_every_state_on_its_way(
    records: Records, make: Callable[..., str], state: str, to: TrainingState, passes: list[TrainingState]
):
    """An end that is told before its 'in progress' was leaves the events of both."""
    training_id = make(T(state))
    with records.writing() as session:
        verbs.grant(session, trainings.find(session, training_id), machine="", memory_bytes=GIB, gpus=[])
        before = len(trainings.events_of(session, "training", training_id))
    end(records, f"{training_id}-a1", to)
    with records.reading() as session:
        events = trainings.events_of(session, "training", training_id)[before:]
        attempt = session.get(Attempt, f"{training_id}-a1")
    assert [event.state for event in events] == passes
    assert (attempt.phase, attempt.reason, attempt.evidence) == (Phase.ENDED, "USER_ERROR", {"cause": "exit"})
    assert attempt.ended_at is not None


def test_an_end_before_the_script_ran_keeps_the_place_in_the_queue(records: Records, claimed: str):
    """An attempt that ended while staging in leaves its training waiting, with an event that says why."""
    end(records, claimed, T.CREATE_IN_PROGRESS, Reason.STORAGE)
    with records.reading() as session:
        event = trainings.events_of(session, "training", claimed.removesuffix("-a1"))[-1]
    assert state_of(records, claimed) == T.CREATE_IN_PROGRESS
    assert (event.state, event.reason, event.message) == ("", "STORAGE", "Attempt 1 ended: it ended")


@pytest.mark.parametrize(("state", "to"), [("STOP_IN_PROGRESS", T.COMPLETE), ("FAIL_TRAIN_IN_PROGRESS", T.STOPPED)])
def test_an_end_that_no_way_leads_to_changes_nothing(
    records: Records, make: Callable[..., str], state: str, to: TrainingState
):
    """A stop cannot become a success, and a failure no stop: the attempt stays open."""
    training_id = make(T(state))
    with records.writing() as session:
        verbs.grant(session, trainings.find(session, training_id), machine="", memory_bytes=GIB, gpus=[])
    with pytest.raises(NotAllowed):
        end(records, f"{training_id}-a1", to)
    assert state_of(records, f"{training_id}-a1") == state
    with records.reading() as session:
        assert session.get(Attempt, f"{training_id}-a1").ended_at is None


def test_the_time_trained_is_that_of_all_attempts(records: Records, claimed: str):
    """Two attempts that ran add up; the wait between them does not count."""
    training_id = claimed.removesuffix("-a1")
    for number in (1, 2):
        with records.writing() as session:
            row = trainings.find(session, training_id)
            attempt = session.get(Attempt, f"{training_id}-a{number}")
            if attempt is None:
                attempt = verbs.grant(session, row, machine="", memory_bytes=1, gpus=[])
            verbs.run(session, attempt)
        end(records, f"{training_id}-a{number}", T.CREATE_IN_PROGRESS)
    with records.reading() as session:
        row = trainings.find(session, training_id)
        spans = [(a.ended_at - a.running_at).total_seconds() for a in row.attempts]
        assert len(spans) == 2
        assert trainings.seconds_trained(row) == pytest.approx(sum(spans))
