"""Records and world put right: real records, real processes; only Prefect's side is kept in memory."""

import itertools
from datetime import timedelta
from typing import Any

import psutil
import pytest

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import Phase, TrainingState
from flows.reconcile import repair
from flows.reconcile.findings import Repair
from tests.flows.reconcile.conftest import Granted, all_written, left_long_ago, reconciled, repairs

T = TrainingState


def test_what_is_well_is_left_alone(here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any):
    """Attempts that are heard of, and one that waits for its run, stay as they are."""
    alive, waiting = granted(silent=1), granted(run="SCHEDULED")
    process = script(alive)
    assert repairs(reconciled(here, runs)) == {}
    assert process.poll() is None
    assert {attempt_of(one).ended_at for one in (alive, waiting)} == {None}
    assert runs.closed == {}


def test_what_fell_silent_is_ended(here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any):
    """Its processes are gone, its run is closed as crashed, its lease is back, and the training is tried again."""
    attempt_id = granted(T.RUNNING, silent=16)
    process = script(attempt_id)
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.END}
    assert not psutil.pid_exists(process.pid)
    row = attempt_of(attempt_id)
    assert (row.phase, row.reason, row.training.state) == (Phase.ENDED, "MACHINE_LOST", T.CREATE_IN_PROGRESS)
    assert runs.closed[row.flow_run_id][1] is False
    assert repairs(reconciled(here, runs)) == {}


def test_after_its_end_the_holder_is_fenced(here: Platform, granted: Granted, runs: Any):
    """An instance that was only slow cannot write any more, whatever it says."""
    attempt_id = granted(T.RUNNING, silent=16)
    reconciled(here, runs)
    with here.records.writing() as session, pytest.raises(verbs.Fenced):
        verbs.authenticate(session, attempt_id, "token")


@pytest.mark.parametrize("since", ["claimed", "heard of", "ended"])
def test_what_has_changed_since_the_look_is_not_ended(
    here: Platform, granted: Granted, runs: Any, attempt_of: Any, monkeypatch: pytest.MonkeyPatch, since: str
):
    """Ending one takes long: another that was claimed, heard of, or has ended by itself meanwhile is left alone."""
    ids = (f"{number:012x}" for number in itertools.count())
    monkeypatch.setattr("blocks.records.tables.token_hex", lambda _bytes: next(ids))  # in whose order they are repaired
    first, second = granted(T.RUNNING, silent=16), granted(silent=None if since == "claimed" else 31, run="SCHEDULED")
    with here.records.writing() as session:
        row = session.get(Attempt, second)
        row.granted_at = row.submitted_at = now() - timedelta(hours=1)

    end = repair.Mending._end

    def ending(mending: repair.Mending, seen: Any) -> Any:
        """End one, which takes long."""
        left = end(mending, seen)
        if left:
            assert seen.attempt_id == first
            meanwhile()
        return left

    def meanwhile() -> None:
        with here.records.writing() as session:
            row = session.get(Attempt, second)
            if since == "claimed":
                verbs.claim(session, second, "token", "run")
            elif since == "heard of":
                verbs.beat(row, "")
            else:
                verbs.end(session, row, T.STOPPED, reason=None, message="by itself", evidence={})

    monkeypatch.setattr(repair.Mending, "_end", ending)
    assert set(repairs(reconciled(here, runs))) == {first, second}
    row = attempt_of(second)
    assert (row.ended_at is not None, row.reason) == (since == "ended", "")
    assert list(runs.closed) == [f"run-of-{first}"]


@pytest.mark.parametrize("refused", ["", "cannot be started: not deployed"])
def test_no_budget_is_spent_while_nothing_could_be_submitted(
    here: Platform, make: Any, runs: Any, attempt_of: Any, refused: str
):
    """A lease that waits for Prefect stays; one whose run was refused ends with the words of the refusal."""
    with here.records.writing() as session:
        row = trainings.find(session, make())
        attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
        attempt.granted_at, attempt.progress = now() - timedelta(minutes=33), refused
    reconciled(here, runs)
    row = attempt_of(attempt.id)
    assert (row.ended_at is not None) == bool(refused)
    assert refused in row.message


def test_the_time_trained_ends_when_it_was_last_heard(here: Platform, granted: Granted, runs: Any):
    """The silence of a dead attempt does not count as training."""
    attempt_id = granted(T.RUNNING, silent=3600)
    with here.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        row.running_at = row.beat_at - timedelta(seconds=10)
    reconciled(here, runs)
    with here.records.reading() as session:
        assert trainings.seconds_trained(session.get(Attempt, attempt_id).training) == pytest.approx(10)


def test_a_cancel_in_prefect_is_a_wish(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """A living attempt is asked to stop and is not killed; once is enough."""
    attempt_id = granted(T.RUNNING, silent=1, run="CANCELLING")
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.STOP}
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.wish, row.ended_at) == (T.STOP_IN_PROGRESS, "STOP", None)
    assert repairs(reconciled(here, runs)) == {}


def test_a_cancel_before_it_began(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """A run that a person cancelled while it waited ends its training: STOPPED, reason USER."""
    attempt_id = granted(run="CANCELLED")
    reconciled(here, runs)
    training = attempt_of(attempt_id).training
    assert (training.state, training.reason) == (T.STOPPED, "USER")
    assert runs.closed == {}


def test_a_stop_before_a_run_came(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """Nothing has to obey: it is STOPPED at once, its run is closed as cancelled and can claim nothing any more."""
    attempt_id = granted(run="SCHEDULED")
    with here.records.writing() as session:
        trainings.wish_stop(session, session.get(Attempt, attempt_id).training)
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.END}
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.reason) == (T.STOPPED, "USER")
    assert runs.closed[row.flow_run_id][1] is True
    with here.records.writing() as session, pytest.raises(verbs.Fenced):
        verbs.claim(session, attempt_id, "token", "run")


def test_processes_of_an_ended_attempt_are_ended(here: Platform, granted: Granted, runs: Any, script: Any):
    """What a dead run left behind goes; the processes of other attempts stay."""
    ended, alive = granted(silent=1), granted(silent=1)
    stray, wanted = script(ended), script(alive)
    left_long_ago(here, ended)
    assert repairs(reconciled(here, runs)) == {ended: Repair.KILL}
    assert not psutil.pid_exists(stray.pid)
    assert wanted.poll() is None


def test_a_run_that_just_told_its_end_may_exit(
    here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any
):
    """Its processes and its run in Prefect are left to themselves for a while."""
    attempt_id = granted(silent=1)
    process = script(attempt_id)
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
    assert repairs(reconciled(here, runs)) == {}
    assert process.poll() is None
    assert runs.closed == {}


def test_a_run_that_outlives_its_attempt_is_closed(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """A controller that was killed between the record and the run leaves it running in Prefect: found, closed, once."""
    attempt_id = granted(silent=1)
    left_long_ago(here, attempt_id)
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.CLOSE_RUN}
    assert list(runs.closed) == [attempt_of(attempt_id).flow_run_id]
    assert repairs(reconciled(here, runs)) == {}


def test_an_attempt_that_beats_outlives_its_run_in_prefect(
    here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any
):
    """Prefect may take for crashed what it does not hear; who beats goes on, as if nothing had been said."""
    attempt_id = granted(T.RUNNING, silent=1, run="CRASHED")
    process = script(attempt_id)
    assert repairs(reconciled(here, runs, thorough=True)) == {}
    assert process.poll() is None
    assert attempt_of(attempt_id).ended_at is None


def test_a_run_that_prefect_has_forgotten_is_submitted_again(
    here: Platform, granted: Granted, runs: Any, attempt_of: Any
):
    """Its lease waits for a run once more, which the controller gives it; who has claimed and beats needs none."""
    lost, alive = granted(run="SCHEDULED"), granted(T.RUNNING, silent=1)
    runs.states_of.clear()
    assert repairs(reconciled(here, runs, thorough=True)) == {lost: Repair.SUBMIT}
    assert (attempt_of(lost).flow_run_id, attempt_of(lost).submitted_at) == ("", None)
    assert attempt_of(alive).flow_run_id == f"run-of-{alive}"
    assert repairs(reconciled(here, runs, thorough=True)) == {}


@pytest.mark.parametrize("since", ["claimed", "submitted", "seen"])
def test_what_has_a_run_by_then_is_not_submitted_again(
    here: Platform, granted: Granted, runs: Any, attempt_of: Any, monkeypatch: pytest.MonkeyPatch, since: str
):
    """Between the look and the repair its run may come, or Prefect may tell of it after all."""
    attempt_id = granted(run="SCHEDULED")
    run, states = f"run-of-{attempt_id}", dict(runs.states_of)
    runs.states_of.clear()

    def observe(flow_run_id: str) -> Any:
        with here.records.writing() as session:
            if since == "claimed":
                verbs.claim(session, attempt_id, "token", run)
            elif since == "submitted":
                session.get(Attempt, attempt_id).flow_run_id = "another"
        return states.get(flow_run_id) if since == "seen" else None

    monkeypatch.setattr(runs, "observe", observe)
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.SUBMIT}
    assert attempt_of(attempt_id).flow_run_id == ("another" if since == "submitted" else run)
    assert all_written(here) == []


@pytest.mark.parametrize("state", [T.FAIL_TRAIN, T.STOPPED, T.DELETE_IN_PROGRESS])
def test_a_lease_whose_training_has_ended_is_given_back(
    here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any, state: TrainingState
):
    """Although it beats: its processes go, its run is closed, and the training stays what it is."""
    attempt_id = granted(T.RUNNING, silent=1)
    process = script(attempt_id)
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).training.state = state
    assert repairs(reconciled(here, runs)) == {attempt_id: Repair.RELEASE}
    row = attempt_of(attempt_id)
    assert (row.phase, row.outcome, row.training.state) == (Phase.ENDED, state, state)
    assert not psutil.pid_exists(process.pid)
    assert runs.closed[row.flow_run_id][1] == (state == T.STOPPED)
    assert repairs(reconciled(here, runs)) == {}
