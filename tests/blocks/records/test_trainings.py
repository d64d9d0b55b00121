"""Trainings in the records: found, listed, asked for once, stopped, deleted."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from blocks.records import attempt as verbs
from blocks.records import checkpoints, experiments, trainings
from blocks.records.database import Records
from blocks.records.errors import Ambiguous, KeyReused, NotAllowed, NotFound
from blocks.records.tables import Attempt, Checkpoint, Event, Experiment, Training, now
from blocks.records.transitions import transition
from blocks.records.words import TERMINAL, ExperimentState, TrainingState, Wish

T = TrainingState
NOW = now()
Make = Callable[..., str]


def names(records: Records, **query: object) -> list[str]:
    with records.reading() as session:
        return [row.name for row in trainings.page(session, **query)[0]]


def test_a_training_is_found_by_id_and_by_name(records: Records, make: Make):
    """Both lead to the same record."""
    training_id = make(name="숫자 1")
    with records.reading() as session:
        assert trainings.find(session, training_id).id == trainings.find(session, "숫자 1").id == training_id


def test_what_is_not_there_is_not_found(records: Records):
    """The message repeats the name and says how to see those that there are."""
    with records.reading() as session, pytest.raises(NotFound, match=r"'none'.*emf training list"):
        trainings.find(session, "none")


def test_several_of_one_name_are_ambiguous(records: Records, make: Make):
    """The message lists the ids of all, by which each is found."""
    ids = {make(), make()}
    with records.reading() as session, pytest.raises(Ambiguous) as caught:
        trainings.find(session, "digits")
    assert all(training_id in str(caught.value) for training_id in ids)


def test_a_page_is_newest_first_and_says_how_many_match(records: Records, make: Make):
    """Limit and offset cut the list; the total counts all."""
    for number in range(5):
        make(name=f"t{number}")
    with records.reading() as session:
        rows, total = trainings.page(session, limit=2, offset=1)
    assert ([row.name for row in rows], total) == (["t3", "t2"], 5)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"states": ["STOPPED"]}, ["b"]),
        ({"states": ["STOPPED", "COMPLETE"]}, ["b", "a"]),
        ({"experiment": "group"}, ["c", "b", "a"]),
        ({"experiment": "none"}, []),
        ({"tags": {"team": "red"}}, ["b", "a"]),
        ({"tags": {"team": "red", "stage": ""}}, ["b"]),
        ({"tags": {"team": "red' OR 1=1 --"}}, []),
        ({"tags": {"팀.이름": "x"}}, ["c"]),
        ({"tags": {'say "hi"': "y"}}, ["c"]),
        ({"tags": {"none": ""}}, []),
        ({"tags": {"team": "red"}, "states": ["STOPPED"]}, ["b"]),
    ],
)
def test_a_page_holds_what_matches_all_filters(records: Records, make: Make, query: dict, found: list[str]):
    """Experiment, states and tags; an empty value of a tag matches any; odd keys are keys like others."""
    make(T.COMPLETE, name="a", tags={"team": "red"})
    make(T.STOPPED, name="b", tags={"team": "red", "stage": "1"})
    make(name="c", tags={"team": "blue", "팀.이름": "x", 'say "hi"': "y"})
    assert names(records, **query) == found


def test_the_longest_waiting_comes_first(records: Records, make: Make):
    """Those that hold nothing and want a machine, in the order in which they were asked for."""
    waiting = [make(name=f"w{number}") for number in range(3)]
    make(T.RUNNING)
    make(T.CREATE_REQUESTED)
    with records.reading() as session:
        assert [row.id for row in trainings.waiting(session)] == waiting


def test_what_waits_is_told_of_in_columns(records: Records, make: Make):
    """All that its turn depends on, as its request and the controller's words have it."""
    training_id = make(instance_count=3, instance_type="gpu.large", image="own")
    moment = now()
    with records.writing() as session:
        row = trainings.find(session, training_id)
        row.wish, row.retry_at, row.message = Wish.SUSPEND, moment, "waits"
    with records.reading() as session:
        (one,) = trainings.waiting(session)
    assert one == (training_id, "digits", "own", "gpu.large", 3, "SUSPEND", moment, "waits")


def test_who_does_not_wait_any_more_is_told_nothing(records: Records, make: Make):
    """A lease, a stop, or the deletion has come since it was looked at."""
    waiting, stopped, leased = (make() for _ in range(3))
    with records.writing() as session:
        verbs.grant(session, trainings.find(session, leased), machine="here", memory_bytes=1, gpus=[])
        trainings.wish_stop(session, trainings.find(session, stopped))
    with records.writing() as session:
        trainings.tell_waiting(session, dict.fromkeys((waiting, stopped, "tr-gone"), "waits for memory"))
        assert [trainings.find(session, one).message for one in (waiting, stopped)] == [
            "waits for memory",
            "Stopped before it got a machine.",
        ]
        there = [trainings.still_waiting(session, one) for one in (waiting, stopped, leased, "tr-gone")]
        assert [row and row.id for row in there] == [waiting, None, None, None]


def test_a_wish_for_all_goes_before_none_but_the_one_that_it_follows(records: Records, make: Make):
    """In these states only; how many changed is answered."""
    alive, stopped, over = make(T.RUNNING), make(T.RUNNING), make(T.COMPLETE)
    with records.writing() as session:
        trainings.find(session, stopped).wish = Wish.STOP
    with records.writing() as session:
        assert trainings.wish_instead(session, Wish.SUSPEND, Wish.NONE, T.RUNNING) == 1
    with records.reading() as session:
        wishes = [trainings.find(session, one).wish for one in (alive, stopped, over)]
    assert wishes == [Wish.SUSPEND, Wish.STOP, Wish.NONE]


def test_one_key_and_one_request_make_one_training(records: Records, make: Make):
    """The same key with the same request is answered with what it made."""
    training_id = make(key="k-1")
    with records.reading() as session:
        assert trainings.by_key(session, "k-1", str({})).id == training_id
        assert trainings.by_key(session, "k-2", str({})) is None


def test_one_key_and_another_request_are_refused(records: Records, make: Make):
    """The message names the key and the training that it made."""
    training_id = make(key="k-1")
    with records.reading() as session, pytest.raises(KeyReused) as caught:
        trainings.by_key(session, "k-1", "another digest")
    assert "'k-1'" in str(caught.value)
    assert training_id in str(caught.value)


def test_requests_without_a_key_are_all_different(records: Records, make: Make):
    """An empty key is none: the same request twice makes two."""
    assert make() != make()
    with records.reading() as session:
        assert trainings.by_key(session, "", str({})) is None


@pytest.mark.parametrize("state", ["DELETE_IN_PROGRESS", "DELETE_FAILED"])
def test_an_experiment_that_is_being_deleted_takes_no_training(records: Records, make: Make, state: str):
    """A training that was checked before its experiment began to go is refused, with the experiment's state."""
    with records.writing() as session:
        group = experiments.record(session, "other", "", {})
        for step in ("CREATE_IN_PROGRESS", "ACTIVE", *dict.fromkeys(["DELETE_IN_PROGRESS", state])):
            transition(session, group, ExperimentState(step))
        with pytest.raises(NotAllowed, match=state):
            trainings.record(session, group, {}, request_key="", digest="")
        assert session.scalar(select(func.count()).select_from(Training)) == 0


@pytest.mark.parametrize("state", ["CREATE_REQUESTED", "CREATE_IN_PROGRESS"])
def test_a_stop_before_there_is_a_machine_is_at_once(records: Records, make: Make, state: str):
    """What holds nothing has nothing to end: it is STOPPED, reason USER, and no longer waits."""
    training_id = make(T(state))
    with records.writing() as session:
        trainings.wish_stop(session, trainings.find(session, training_id))
        row = trainings.find(session, training_id)
        assert (row.state, row.reason, row.wish) == (T.STOPPED, "USER", Wish.STOP)
        assert trainings.waiting(session) == []


def test_a_stop_between_attempts_says_so(records: Records, make: Make):
    """A training that had a machine before is not told that it never got one."""
    first, between = make(), make()
    with records.writing() as session:
        row = trainings.find(session, between)
        attempt = verbs.grant(session, row, machine="", memory_bytes=1, gpus=[])
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
        for training_id in (first, between):
            trainings.wish_stop(session, trainings.find(session, training_id))
        assert trainings.find(session, first).message == "Stopped before it got a machine."
        assert row.message == "Stopped while it waited for its next attempt."


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETE_IN_PROGRESS"])
def test_a_stop_of_what_runs_is_a_wish(records: Records, make: Make, state: str):
    """The state says that it is being stopped; asked twice, there is one event of it."""
    training_id = make(T(state))
    for _ in range(2):
        with records.writing() as session:
            trainings.wish_stop(session, trainings.find(session, training_id))
    with records.reading() as session:
        row = trainings.find(session, training_id)
        stops = [e for e in trainings.events_of(session, "training", row.id) if e.state == T.STOP_IN_PROGRESS]
    assert (row.state, row.wish, len(stops)) == (T.STOP_IN_PROGRESS, Wish.STOP, 1)


def test_a_stop_of_what_holds_a_lease_is_a_wish(records: Records, make: Make):
    """A training that is staging in is not STOPPED before its instance has ended."""
    training_id = make()
    with records.writing() as session:
        row = trainings.find(session, training_id)
        verbs.grant(session, row, machine="", memory_bytes=1, gpus=[])
        trainings.wish_stop(session, row)
        assert row.state == T.STOP_IN_PROGRESS


@pytest.mark.parametrize("state", [*sorted(TERMINAL), T.FAIL_TRAIN_IN_PROGRESS])
def test_a_stop_does_not_change_how_something_ended(records: Records, make: Make, state: TrainingState):
    """What has ended, or has failed already, keeps its state."""
    training_id = make(state)
    with records.writing() as session:
        trainings.wish_stop(session, trainings.find(session, training_id))
    with records.reading() as session:
        assert trainings.find(session, training_id).state == state


@pytest.mark.parametrize("state", ["DELETE_IN_PROGRESS", "DELETE_FAILED"])
def test_what_is_being_deleted_cannot_be_stopped(records: Records, make: Make, state: str):
    """It is refused with its name."""
    training_id = make(T(state))
    with records.writing() as session, pytest.raises(NotAllowed, match="being deleted"):
        trainings.wish_stop(session, trainings.find(session, training_id))


@pytest.mark.parametrize("state", [s for s in T if s not in TERMINAL and not s.startswith("DELETE")])
def test_what_is_alive_cannot_be_deleted(records: Records, make: Make, state: TrainingState):
    """The message says its state and how to stop it."""
    training_id = make(state)
    with records.writing() as session, pytest.raises(NotAllowed, match=f"{state}.*emf training stop {training_id}"):
        trainings.begin_delete(session, trainings.find(session, training_id))


@pytest.mark.parametrize("state", [*sorted(TERMINAL), T.DELETE_FAILED, T.DELETE_IN_PROGRESS])
def test_what_has_ended_can_be_deleted_and_again(records: Records, make: Make, state: TrainingState):
    """Also after a deletion that failed or was cut off."""
    training_id = make(state)
    with records.writing() as session:
        trainings.begin_delete(session, trainings.find(session, training_id))
        assert trainings.find(session, training_id).state == T.DELETE_IN_PROGRESS


def test_forgetting_leaves_nothing(records: Records, make: Make):
    """The record goes with its attempts, checkpoints and events; the experiment stays."""
    training_id = make()
    with records.writing() as session:
        attempt = verbs.grant(session, trainings.find(session, training_id), machine="", memory_bytes=1, gpus=[])
        checkpoints.committed(session, attempt, 1, "file:///c", files=1, size=1, keep=3)
    with records.writing() as session:
        trainings.forget(session, trainings.find(session, training_id))
    with records.reading() as session:
        for table in (Training, Attempt, Checkpoint):
            assert session.scalar(select(func.count()).select_from(table)) == 0
        assert {event.kind for event in session.scalars(select(Event))} == {"experiment"}
        assert session.scalar(select(func.count()).select_from(Experiment)) == 1


def ran(seconds: float | None, began: float | None = None, ended: float | None = None, last: float | None = None):
    """Return an attempt: for how long it says that it ran, and what the wall clock showed, in seconds from now."""
    times = [None if moment is None else NOW + timedelta(seconds=moment) for moment in (began, ended, last)]
    return Attempt(ran_seconds=seconds, running_at=times[0], stopped_running_at=times[1], ended_at=times[2])


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [
        ([], 0),
        ([ran(None)], 0),  # it never ran
        ([ran(60.5)], 60.5),
        ([ran(60.5, 0, 5000, 6000)], 60.5),  # the clock was set forward while it ran
        ([ran(60.5, 0, -5000, -4000)], 60.5),  # or back
        ([ran(0.0, 0, 50)], 0),
        # One of an older version tells none: the times that were noted, to its script's end where that was heard.
        ([ran(None, 0, 50, 70)], 50),
        ([ran(None, 0, None, 70)], 70),
        ([ran(None, 0, -50, -40)], 0),  # nobody gets time back
        ([ran(10.0, 0, 11), ran(None, 1000, 1050), ran(None), ran(2.0, 9000)], 62),
    ],
)
def test_the_time_trained_is_what_the_instances_tell(attempts: list[Attempt], seconds: float):
    """The sum over all attempts; only where one tells nothing the difference of times."""
    assert trainings.seconds_trained(Training(attempts=attempts)) == seconds


MOMENTS = st.none() | st.floats(-1e6, 1e6)
TELLING = st.builds(ran, st.floats(0, 1e6), MOMENTS, MOMENTS, MOMENTS)


@given(st.lists(TELLING, max_size=6))
def test_no_wait_and_no_clock_that_is_set_changes_the_time_trained(attempts: list[Attempt]):
    """Wherever the wall clock stood when each began and ended: what they told is what counts."""
    assert trainings.seconds_trained(Training(attempts=attempts)) == sum(row.ran_seconds for row in attempts)


@given(st.lists(st.builds(ran, st.none(), MOMENTS, MOMENTS, MOMENTS), max_size=6))
def test_the_time_trained_is_never_less_than_nothing(attempts: list[Attempt]):
    """Also where older instances tell no time and the clock was set back."""
    assert trainings.seconds_trained(Training(attempts=attempts)) >= 0
