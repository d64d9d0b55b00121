"""Attempts read as a few columns, page by page."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from blocks.records import attempt as verbs
from blocks.records import experiments, survey, trainings
from blocks.records.database import Records
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState

Granted = Callable[..., str]


@pytest.fixture
def granted(records: Records, make: Callable[..., str]) -> Granted:
    """Grant an attempt with a run; `ended` so many minutes ago, if asked. Returns its id."""

    def go(ended: float | None = None, run: str = "run") -> str:
        training_id = make()
        with records.writing() as session:
            row = trainings.find(session, training_id)
            attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
            attempt.flow_run_id = run
            if ended is not None:
                attempt.ended_at = now() - timedelta(minutes=ended)
            return attempt.id

    return go


def test_a_glance_has_what_the_records_have(records: Records, granted: Granted):
    """Each column by its name, times with their zone."""
    attempt_id = granted()
    with records.writing() as session:
        row = session.get(Attempt, attempt_id)
        row.token_hash, row.progress, row.beat_at, row.submitted_at = "hash", "staging in", now(), now()
        row.training.wish, row.training.state = "STOP", TrainingState.STOP_IN_PROGRESS
    with records.reading() as session:
        (one,) = survey.open_attempts(session)
        row = session.get(Attempt, attempt_id)
        assert (one.attempt_id, one.training_id, one.number) == (row.id, row.training_id, 1)
        assert (one.training_state, one.wish) == (TrainingState.STOP_IN_PROGRESS, "STOP")
        assert (one.token_hash, one.flow_run_id, one.progress) == ("hash", "run", "staging in")
        assert (one.granted_at, one.submitted_at, one.beat_at) == (row.granted_at, row.submitted_at, row.beat_at)
        assert one.ended_at is None


def test_pages_follow_each_other(records: Records, granted: Granted, monkeypatch: pytest.MonkeyPatch):
    """Each open attempt is on one of them, also where others end or begin between two."""
    monkeypatch.setattr(survey, "PAGE", 2)
    ids = sorted(granted() for _ in range(5))
    granted(ended=1)
    with records.writing() as session:
        first = survey.open_attempts(session)
        session.get(Attempt, ids[0]).ended_at = now()
    with records.reading() as session:
        second = survey.open_attempts(session, first[-1].attempt_id)
        third = survey.open_attempts(session, second[-1].attempt_id)
    assert [one.attempt_id for page in (first, second, third) for one in page] == ids


def test_what_is_unclosed_ended_in_a_time_and_has_a_run(records: Records, granted: Granted):
    """Until it is noted that the run is over; the open ones are none of these."""
    old, recent, fresh = granted(ended=90), granted(ended=30), granted(ended=0)
    granted()
    granted(ended=30, run="")
    until, since = now() - timedelta(minutes=1), now() - timedelta(hours=1)

    def unclosed(*of: object) -> set[str]:
        with records.reading() as session:
            return {one.attempt_id for one in survey.unclosed(session, *of)}

    assert unclosed(until) == {old, recent}
    assert unclosed(until, since) == {recent}
    assert unclosed(now(), since) == {recent, fresh}
    with records.writing() as session:
        assert survey.runs_are_over(session, [recent, old]) == 2
        session.get(Attempt, old).run_is_over = False
    with records.writing() as session:
        assert survey.runs_are_over(session, [recent]) == 0  # that was known
    assert unclosed(until) == {old}


def test_the_known_ones_among_many(records: Records, granted: Granted, monkeypatch: pytest.MonkeyPatch):
    """However many are asked for; open or ended."""
    monkeypatch.setattr(survey, "AT_ONCE", 2)
    ids = {granted(), granted(ended=1), granted()}
    with records.reading() as session:
        found = survey.among(session, [*ids, *(f"tr-{number}" for number in range(5))])
    assert {one.attempt_id for one in found} == ids


def test_the_oldest_lease_that_is_held(records: Records, granted: Granted):
    """None where none is."""
    ended, held = granted(ended=1), granted()
    with records.writing() as session:
        session.get(Attempt, ended).granted_at = now() - timedelta(days=1)
        assert survey.oldest_lease(session) == session.get(Attempt, held).granted_at
        session.get(Attempt, held).ended_at = now()
        assert survey.oldest_lease(session) is None


def test_what_is_held(records: Records, granted: Granted):
    """By whom, of open attempts and of those ended ones that still run; the longest held first."""
    first, ended, gone = granted(), granted(ended=1), granted(ended=1)
    with records.writing() as session:
        for number, attempt_id in enumerate((first, ended, gone)):
            row = session.get(Attempt, attempt_id)
            row.memory_bytes, row.gpus, row.training.name = number, [str(number)], f"t{number}"
    with records.reading() as session:
        found = survey.leases(session, [ended, "tr-unknown-a1"])
    assert [tuple(one) for one in found] == [(first, "t0", 0, ["0"]), (ended, "t1", 1, ["1"])]


def test_whose_run_has_not_come(records: Records, granted: Granted):
    """What was claimed, or has ended, is none of these."""
    waiting, claimed = granted(), granted()
    granted(ended=1)
    with records.writing() as session:
        verbs.claim(session, claimed, "token", "run")
        assert [row.id for row in survey.unclaimed(session)] == [waiting]


def test_trainings_and_experiments_that_are_known(
    records: Records, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """Among many ids; an experiment without trainings is known as well."""
    monkeypatch.setattr(survey, "AT_ONCE", 2)
    ids = {make(), make(TrainingState.STOPPED)}
    with records.writing() as session:
        lonely = experiments.record(session, "lonely", "", {}).id
        known = survey.trainings_among(session, [*ids, *(f"tr-{number}" for number in range(5))])
        assert {one.training_id: one.state for one in known.values()} == {
            one: trainings.find(session, one).state for one in ids
        }
        (stopped,) = (one for one in known.values() if one.state == TrainingState.STOPPED)
        assert stopped.ended_at == trainings.find(session, stopped.training_id).ended_at
        group = stopped.experiment_id
        assert survey.trainings_of(session, [group, lonely, "ex-gone"]) == {group: ids, lonely: set()}


def test_the_images_that_are_in_use(records: Records, granted: Granted):
    """Of open attempts, each since the first lease."""
    first, other, ended = granted(), granted(), granted(ended=1)
    granted()
    moment = now() - timedelta(days=1)
    with records.writing() as session:
        session.get(Attempt, first).granted_at = moment
        session.get(Attempt, other).training.image = "another"
        session.get(Attempt, ended).training.image = "unused"
    with records.reading() as session:
        found = survey.images(session)
    assert set(found) == {"pytorch-2.13-cpu-py311", "another"}
    assert found["pytorch-2.13-cpu-py311"] == moment
