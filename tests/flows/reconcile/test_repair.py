"""Records and world put right: real records, real processes; only Prefect's side is kept in memory."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import attempt as verbs
from blocks.records import experiments, survey, trainings
from blocks.records.database import BUSY_SECONDS
from blocks.records.tables import Attempt, now
from blocks.records.words import ExperimentState, Phase, TrainingState
from blocks.settings import Settings
from flows.reconcile import repair
from flows.reconcile import tidy as tidying
from flows.reconcile.findings import Repair
from flows.reconcile.repair import reconcile
from flows.reconcile.tidy import tidy
from flows.training.door import BEAT_SECONDS

T = TrainingState
Granted = Callable[..., str]


@pytest.fixture
def granted(here: Platform, make: Callable[..., str], runs: Any) -> Granted:
    """Grant an attempt to a training, with a run; `claimed` and silent for so many seconds, if asked."""

    def go(state: TrainingState = T.CREATE_IN_PROGRESS, *, silent: float | None = None, run: str = "RUNNING") -> str:
        training_id = make(state)
        with here.records.writing() as session:
            row = trainings.find(session, training_id)
            attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
            verbs.submitted(attempt, f"run-of-{attempt.id}")
            runs.states_of[attempt.flow_run_id] = run
            if silent is not None:
                verbs.claim(session, attempt.id, "token", attempt.flow_run_id)
                attempt.beat_at = now() - timedelta(seconds=silent)
            return attempt.id

    return go


def reconciled(here: Platform, runs: Any, **how: Any) -> Any:
    """Reconcile as a controller does that has listened for long."""
    return reconcile(here, runs, **{"listening_since": now() - timedelta(hours=2)} | how)


def left_long_ago(here: Platform, attempt_id: str, to: TrainingState = T.CREATE_IN_PROGRESS) -> None:
    """End an attempt, a minute ago."""
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.end(session, attempt, to, reason=None, message="", evidence={})
        attempt.ended_at = now() - timedelta(minutes=1)


def repairs(found: Any) -> dict[str, Repair]:
    return {finding.attempt_id: finding.repair for finding in found}


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

    def end(attempt_id: str, _grace: float) -> None:
        assert attempt_id == first
        with here.records.writing() as session:
            row = session.get(Attempt, second)
            if since == "claimed":
                verbs.claim(session, second, "token", "run")
            elif since == "heard of":
                verbs.beat(row, "")
            else:
                verbs.end(session, row, T.STOPPED, reason=None, message="by itself", evidence={})

    monkeypatch.setattr(repair.processes, "end", end)
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


def test_what_beats_costs_prefect_nothing(here: Platform, granted: Granted, runs: Any):
    """It is asked for runs that wait, that are silent, or whose attempt has ended; for the last until it says so."""
    granted(silent=1)
    waiting, silent, ended = granted(run="SCHEDULED"), granted(silent=9, run="CRASHED"), granted(run="RUNNING")
    left_long_ago(here, ended)
    assert repairs(reconciled(here, runs)) == {silent: Repair.END, ended: Repair.CLOSE_RUN}
    assert sorted(set(runs.asked)) == sorted(f"run-of-{one}" for one in (waiting, silent, ended))
    runs.asked.clear()
    assert repairs(reconciled(here, runs)) == {}
    assert runs.asked == [f"run-of-{waiting}"]


@pytest.mark.parametrize("thorough", [False, True])
def test_what_ended_long_ago_is_closed_by_a_thorough_look(here: Platform, granted: Granted, runs: Any, thorough: bool):
    """The quick one looks back an hour; a controller that was away for longer begins with the other."""
    attempt_id = granted(silent=1)
    left_long_ago(here, attempt_id)
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).ended_at = now() - timedelta(hours=2)
    found = repairs(reconciled(here, runs, thorough=thorough))
    assert found == ({attempt_id: Repair.CLOSE_RUN} if thorough else {})


@pytest.mark.parametrize("state", ["COMPLETED", "CRASHED", None])
def test_a_run_that_is_over_is_asked_for_once(
    here: Platform, granted: Granted, runs: Any, attempt_of: Any, state: str | None
):
    """Also one that somebody deleted in Prefect; while Prefect is away nothing is noted."""
    attempt_id = granted(silent=1)
    left_long_ago(here, attempt_id)
    runs.states_of = {f"run-of-{attempt_id}": state} if state else {}
    runs.is_away = True
    reconciled(here, runs)
    assert not attempt_of(attempt_id).run_is_over
    runs.is_away = False
    reconciled(here, runs)
    reconciled(here, runs)
    assert attempt_of(attempt_id).run_is_over
    assert runs.asked == [f"run-of-{attempt_id}"]


@pytest.mark.parametrize(("hours", "thorough", "is_seen"), [(0, False, True), (2, False, False), (2, True, True)])
def test_a_run_that_went_straight_to_cancelled(
    here: Platform, granted: Granted, runs: Any, attempt_of: Any, hours: int, thorough: bool, is_seen: bool
):
    """It is a person's wish, whenever it was said; a thorough look finds what nobody was there to see."""
    attempt_id = granted(T.RUNNING, silent=1, run="CANCELLED")
    runs.ended_at[f"run-of-{attempt_id}"] = now() - timedelta(hours=hours)
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).granted_at = now() - timedelta(hours=3)
    assert repairs(reconciled(here, runs, thorough=thorough)) == ({attempt_id: Repair.STOP} if is_seen else {})
    assert attempt_of(attempt_id).training.wish == ("STOP" if is_seen else "")


def test_an_attempt_that_beats_outlives_its_run_in_prefect(
    here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any
):
    """Prefect may take for crashed what it does not hear; who beats goes on, as if nothing had been said."""
    attempt_id = granted(T.RUNNING, silent=1, run="CRASHED")
    process = script(attempt_id)
    assert repairs(reconciled(here, runs, thorough=True)) == {}
    assert process.poll() is None
    assert attempt_of(attempt_id).ended_at is None


def test_more_than_a_page_is_looked_at(here: Platform, granted: Granted, runs: Any, monkeypatch: pytest.MonkeyPatch):
    """Page by page every attempt has its turn, and once."""
    monkeypatch.setattr(survey, "PAGE", 2)
    dead = [granted(T.RUNNING, silent=16) for _ in range(5)]
    ended = [granted(silent=1) for _ in range(5)]
    for one in ended:
        left_long_ago(here, one)
    found = reconciled(here, runs, dry_run=True)
    assert sorted(f.attempt_id for f in found) == sorted([*dead, *ended])


def test_while_the_door_is_shut_nobody_is_silent(here: Platform, granted: Granted, runs: Any):
    """The scheduled run beside a controller that is away ends nobody who could not be heard."""
    granted(T.RUNNING, silent=3600)
    assert repairs(reconciled(here, runs, listening_since=None)) == {}


def test_processes_of_unknown_attempts_are_left_alone(here: Platform, runs: Any, script: Any):
    """They may be another platform's on this machine."""
    process = script("tr-ffffffffffff-a1")
    assert repairs(reconciled(here, runs)) == {}
    assert process.poll() is None


def test_a_dry_run_only_looks(here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any):
    """The same findings, and nothing done: no record, no process, no run, no folder."""
    attempt_id = granted(T.RUNNING, silent=16)
    process = script(attempt_id)
    work = here.settings.home / "work" / "tr-gone-a1"
    work.mkdir(parents=True)
    assert repairs(reconciled(here, runs, dry_run=True)) == {attempt_id: Repair.END}
    assert process.poll() is None
    assert attempt_of(attempt_id).ended_at is None
    assert work.exists()
    assert runs.closed == {}


def test_without_prefect_the_records_alone_decide(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """A silent attempt is ended although its run cannot be closed; another after it is not held up."""
    runs.is_away = True
    first, second = granted(T.RUNNING, silent=16), granted(T.RUNNING, silent=16)
    assert repairs(reconciled(here, runs)) == {first: Repair.END, second: Repair.END}
    assert None not in {attempt_of(one).ended_at for one in (first, second)}


def test_a_beat_is_answered_before_its_lease_is_over(tmp_path: Path):
    """However long another holds the records: what waits for them in vain is known of before silence is judged."""
    with pytest.raises(ValidationError):
        Settings(home=tmp_path, lease_seconds=9)
    shortest = Settings(home=tmp_path, lease_seconds=10)
    assert shortest.lease_seconds > BEAT_SECONDS + BUSY_SECONDS


def test_the_lease_is_that_of_the_settings(here: Platform, granted: Granted, runs: Any, script: Any):
    """What is dead after fifteen seconds lives where the operator grants a minute."""
    attempt_id = granted(T.RUNNING, silent=20)
    script(attempt_id)
    here.settings.lease_seconds = 60
    assert repairs(reconciled(here, runs, dry_run=True)) == {}
    here.settings.lease_seconds = 15
    assert repairs(reconciled(here, runs, dry_run=True)) == {attempt_id: Repair.END}


def test_a_slow_prefect_makes_nobody_silent(
    here: Platform, granted: Granted, runs: Any, monkeypatch: pytest.MonkeyPatch
):
    """How long the look itself takes is not held against the attempts."""
    attempt_id, cancelled, looks = granted(silent=1), runs.cancelled, list[int]()

    def slow(since: datetime) -> Any:
        """Take a minute."""
        looks.append(1)
        return cancelled(since)

    monkeypatch.setattr(runs, "cancelled", slow)
    monkeypatch.setattr(repair, "now", lambda: now() + timedelta(minutes=len(looks)))
    assert attempt_id not in repairs(reconciled(here, runs, dry_run=True))
    assert looks


def test_after_a_restart_instances_get_a_lease_to_be_heard(here: Platform, granted: Granted, runs: Any):
    """A controller that was away for minutes does not end what could not reach it."""
    attempt_id = granted(T.RUNNING, silent=300)
    assert repairs(reconciled(here, runs, listening_since=now())) == {}
    assert repairs(reconciled(here, runs, listening_since=now() - timedelta(seconds=16))) == {attempt_id: Repair.END}


def test_only_folders_of_open_attempts_stay(here: Platform, granted: Granted):
    """What ended or unknown attempts left is removed, and named; without a folder there is nothing to do."""
    assert tidy(here) == []
    attempt_id = granted(silent=1)
    work = here.settings.home / "work"
    for name in (attempt_id, "tr-gone-a1"):
        (work / name / "instance-0").mkdir(parents=True)
    (work / "a file").write_text("stays")
    assert tidy(here) == ["tr-gone-a1"]
    assert {file.name for file in work.iterdir()} == {attempt_id, "a file"}


def test_a_folder_that_is_made_meanwhile_stays(here: Platform, granted: Granted, monkeypatch: pytest.MonkeyPatch):
    """An attempt that is claimed while the tidying looks keeps its folder."""
    work = here.settings.home / "work"
    (work / "tr-gone-a1").mkdir(parents=True)
    look = verbs.open_attempts

    def looking(session: Any) -> Any:
        found = look(session)
        (work / "tr-new-a1").mkdir(exist_ok=True)
        return found

    monkeypatch.setattr(tidying.verbs, "open_attempts", looking)
    assert tidy(here) == ["tr-gone-a1"]
    assert (work / "tr-new-a1").is_dir()


def test_data_behind_a_link_is_not_tidied_away(here: Platform, tmp_path: Path):
    """An attempt's folder goes with its links, never with what they lead to."""
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "data").write_text("precious")
    folder = here.settings.home / "work" / "tr-gone-a1" / "instance-0" / "data"
    folder.mkdir(parents=True)
    (folder / "digits").symlink_to(tmp_path / "mount")
    assert tidy(here) == ["tr-gone-a1"]
    assert (tmp_path / "mount" / "data").read_text() == "precious"


def test_a_creation_that_died_can_be_retried(here: Platform, runs: Any):
    """An experiment whose creation has not moved for minutes is CREATE_FAILED; a fresh one is left alone."""
    with here.records.writing() as session:
        old, fresh = (experiments.record(session, name, "", {}) for name in ("old", "fresh"))
        old.changed_at = now() - timedelta(minutes=6)
    reconciled(here, runs)
    with here.records.reading() as session:
        states = {name: experiments.find(session, name).state for name in ("old", "fresh")}
    assert states == {"old": ExperimentState.CREATE_FAILED, "fresh": ExperimentState.CREATE_REQUESTED}
    assert fresh.id != old.id


def test_processes_are_those_of_the_mark():
    """The mark that reconcile looks for is the one that the launcher sets."""
    assert processes.MARK == "EMF_ATTEMPT"
