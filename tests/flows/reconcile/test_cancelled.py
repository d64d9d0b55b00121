"""What a person cancelled in Prefect is not tried again, also where Prefect could not say so in time."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import Phase, Reason, TrainingState
from flows.reconcile.findings import Repair
from tests.flows.reconcile.conftest import FakeRuns, Granted, all_written, reconciled, repairs

T = TrainingState


@pytest.fixture
def interrupted(here: Platform, granted: Granted) -> Callable[[str], str]:
    """End an attempt as one that was sent a signal, and knows no more; Prefect shows its run in this state."""

    def go(run: str) -> str:
        attempt_id = granted(T.RUNNING, silent=1, run=run)
        end(here, attempt_id)
        return attempt_id

    return go


def end(here: Platform, attempt_id: str, to: TrainingState = T.CREATE_IN_PROGRESS) -> None:
    with here.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        verbs.end(session, row, to, reason=Reason.INTERRUPTED, message="a signal", evidence={})


def next_of(here: Platform, attempt_id: str) -> str:
    """Grant the next attempt."""
    with here.records.writing() as session:
        row = trainings.find(session, attempt_id.removesuffix("-a1"))
        return verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[]).id


@pytest.mark.parametrize("run", ["CANCELLING", "CANCELLED"])
def test_a_cancel_that_the_run_did_not_hear_of_stops_its_training(
    here: Platform, runs: FakeRuns, interrupted: Callable[[str], str], attempt_of: Any, run: str
):
    """At the next look, which is before it has another machine, or not long after."""
    attempt_id = interrupted(run)
    assert repairs(reconciled(here, runs, dry_run=True)) == {attempt_id: Repair.STOP}
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.STOP}
    training = attempt_of(attempt_id).training
    assert (training.state, training.reason) == (T.STOPPED, Reason.USER)
    assert repairs(reconciled(here, runs)) == {}


@pytest.mark.parametrize("is_claimed", [False, True])
def test_also_where_the_next_attempt_has_its_lease(
    here: Platform, runs: FakeRuns, interrupted: Callable[[str], str], attempt_of: Any, is_claimed: bool
):
    """What is to run ends before it does; what stages in obeys."""
    attempt_id = interrupted("CANCELLED")
    following = next_of(here, attempt_id)
    if is_claimed:
        with here.records.writing() as session:
            verbs.claim(session, following, "token", "its run")
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.STOP}
    assert attempt_of(following).training.state == T.STOP_IN_PROGRESS
    assert repairs(reconciled(here, runs)) == ({} if is_claimed else {following: Repair.END})
    assert (attempt_of(following).phase == Phase.ENDED) != is_claimed


def test_a_run_that_ended_otherwise_is_tried_again(
    here: Platform, runs: FakeRuns, interrupted: Callable[[str], str], attempt_of: Any
):
    """Whatever Prefect calls its end."""
    for run in ("COMPLETED", "FAILED", "CRASHED"):
        attempt_id = interrupted(run)
        assert repairs(reconciled(here, runs)) == {}
        assert attempt_of(attempt_id).training.state == T.CREATE_IN_PROGRESS


@pytest.mark.parametrize("since", ["runs", "ended"])
def test_an_earlier_run_that_is_cancelled_stops_nothing(
    here: Platform, runs: FakeRuns, interrupted: Callable[[str], str], attempt_of: Any, since: str
):
    """Once the next attempt runs, or has ended as well, that is the one to be cancelled."""
    attempt_id = interrupted("CRASHED")
    following = next_of(here, attempt_id)
    with here.records.writing() as session:
        verbs.claim(session, following, "token", "its run")
        verbs.run(session, session.get(Attempt, following))
    if since == "ended":
        end(here, following)
    runs.states_of[f"run-of-{attempt_id}"] = "CANCELLED"
    assert repairs(reconciled(here, runs)) == {}
    assert attempt_of(following).training.wish == ""


def test_a_cancel_that_nobody_could_see_while_its_machine_was_lost(
    here: Platform, runs: FakeRuns, granted: Granted, attempt_of: Any
):
    """With Prefect away it is ended as lost; its run is closed as what it is, and the next look sees that."""
    attempt_id = granted(T.RUNNING, silent=16, run="CANCELLING")
    works: list[Callable[[], None]] = []
    runs.is_away = True
    assert repairs(reconciled(here, runs, aside=works.append)) == {attempt_id: Repair.END}
    runs.is_away = False
    for work in works:
        work()
    assert runs.states_of[f"run-of-{attempt_id}"] == "CANCELLED"
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.STOP}
    assert attempt_of(attempt_id).training.state == T.STOPPED


def test_a_run_that_is_being_cancelled_is_closed_as_cancelled(
    here: Platform, runs: FakeRuns, interrupted: Callable[[str], str]
):
    """Also where nothing ends it but a look, long after its attempt."""
    attempt_id = interrupted("CANCELLING")
    reconciled(here, runs)
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).ended_at = now() - timedelta(minutes=1)
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.CLOSE_RUN}
    assert runs.closed[f"run-of-{attempt_id}"][1] is True


def test_a_cancel_of_one_that_ends_between_look_and_repair(
    here: Platform, runs: FakeRuns, granted: Granted, attempt_of: Any, monkeypatch: pytest.MonkeyPatch
):
    """It stops its training all the same; one that has ended for good stays what it is."""
    again, over = (granted(T.RUNNING, silent=1, run="CANCELLING") for _ in range(2))
    locked = verbs.locked

    def end_first(session: Any, attempt_id: str) -> Any:
        monkeypatch.setattr(verbs, "locked", locked)
        for one, to in ((again, T.CREATE_IN_PROGRESS), (over, T.FAIL_TRAIN)):
            verbs.end(session, session.get(Attempt, one), to, reason=None, message="", evidence={})
        return locked(session, attempt_id)

    monkeypatch.setattr(verbs, "locked", end_first)
    reconciled(here, runs)
    assert [attempt_of(one).training.state for one in (again, over)] == [T.STOPPED, T.FAIL_TRAIN]
    assert [one[0] for one in all_written(here)] == [again]
