"""Records and world put right: real records, real processes; only Prefect's side is kept in memory."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import attempt as verbs
from blocks.records import experiments, trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import ExperimentState, Phase, TrainingState
from flows.reconcile import repair
from flows.reconcile.findings import Repair
from flows.reconcile.repair import reconcile, tidy

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
            attempt.flow_run_id = f"run-of-{attempt.id}"
            runs.states[attempt.flow_run_id] = run
            if silent is not None:
                verbs.claim(session, attempt.id, "token", attempt.flow_run_id)
                attempt.beat_at = now() - timedelta(seconds=silent)
            return attempt.id

    return go


def repairs(found: Any) -> dict[str, Repair]:
    return {finding.attempt_id: finding.repair for finding in found}


def test_what_is_well_is_left_alone(here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any):
    """Attempts that are heard of, and one that waits for its run, stay as they are."""
    alive, waiting = granted(silent=1), granted(run="SCHEDULED")
    process = script(alive)
    assert repairs(reconcile(here, runs)) == {}
    assert process.poll() is None
    assert {attempt_of(one).ended_at for one in (alive, waiting)} == {None}
    assert runs.closed == {}


def test_what_fell_silent_is_ended(here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any):
    """Its processes are gone, its run is closed as crashed, its lease is back, and the training is tried again."""
    attempt_id = granted(T.RUNNING, silent=31)
    process = script(attempt_id)
    assert repairs(reconcile(here, runs)) == {attempt_id: Repair.END}
    assert not psutil.pid_exists(process.pid)
    row = attempt_of(attempt_id)
    assert (row.phase, row.reason, row.training.state) == (Phase.ENDED, "MACHINE_LOST", T.CREATE_IN_PROGRESS)
    assert runs.closed[row.flow_run_id][1] is False
    assert repairs(reconcile(here, runs)) == {}


def test_after_its_end_the_holder_is_fenced(here: Platform, granted: Granted, runs: Any):
    """An instance that was only slow cannot write any more, whatever it says."""
    attempt_id = granted(T.RUNNING, silent=31)
    reconcile(here, runs)
    with here.records.writing() as session, pytest.raises(verbs.Fenced):
        verbs.authenticate(session, attempt_id, "token")


def test_the_time_trained_ends_when_it_was_last_heard(here: Platform, granted: Granted, runs: Any):
    """The silence of a dead attempt does not count as training."""
    attempt_id = granted(T.RUNNING, silent=3600)
    with here.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        row.running_at = row.beat_at - timedelta(seconds=10)
    reconcile(here, runs)
    with here.records.reading() as session:
        assert trainings.seconds_trained(session.get(Attempt, attempt_id).training) == pytest.approx(10)


def test_a_cancel_in_prefect_is_a_wish(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """A living attempt is asked to stop and is not killed; once is enough."""
    attempt_id = granted(T.RUNNING, silent=1, run="CANCELLING")
    assert repairs(reconcile(here, runs)) == {attempt_id: Repair.STOP}
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.wish, row.ended_at) == (T.STOP_IN_PROGRESS, "STOP", None)
    assert repairs(reconcile(here, runs)) == {}


def test_a_cancel_before_it_began(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """A run that a person cancelled while it waited ends its training: STOPPED, reason USER."""
    attempt_id = granted(run="CANCELLED")
    reconcile(here, runs)
    training = attempt_of(attempt_id).training
    assert (training.state, training.reason) == (T.STOPPED, "USER")
    assert runs.closed == {}


def test_a_stop_before_a_run_came(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """Nothing has to obey: it is STOPPED at once, its run is closed as cancelled and can claim nothing any more."""
    attempt_id = granted(run="SCHEDULED")
    with here.records.writing() as session:
        trainings.wish_stop(session, session.get(Attempt, attempt_id).training)
    assert repairs(reconcile(here, runs)) == {attempt_id: Repair.END}
    row = attempt_of(attempt_id)
    assert (row.training.state, row.training.reason) == (T.STOPPED, "USER")
    assert runs.closed[row.flow_run_id][1] is True
    with here.records.writing() as session, pytest.raises(verbs.Fenced):
        verbs.claim(session, attempt_id, "token", "run")


def test_processes_of_an_ended_attempt_are_ended(here: Platform, granted: Granted, runs: Any, script: Any):
    """What a dead run left behind goes; the processes of other attempts stay."""
    ended, alive = granted(silent=1), granted(silent=1)
    stray, wanted = script(ended), script(alive)
    with here.records.writing() as session:
        attempt = session.get(Attempt, ended)
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
    assert repairs(reconcile(here, runs)) == {ended: Repair.KILL}
    assert not psutil.pid_exists(stray.pid)
    assert wanted.poll() is None


def test_processes_of_unknown_attempts_are_left_alone(here: Platform, runs: Any, script: Any):
    """They may be another platform's on this machine."""
    process = script("tr-ffffffffffff-a1")
    assert repairs(reconcile(here, runs)) == {}
    assert process.poll() is None


def test_a_dry_run_only_looks(here: Platform, granted: Granted, runs: Any, script: Any, attempt_of: Any):
    """The same findings, and nothing done: no record, no process, no run, no folder."""
    attempt_id = granted(T.RUNNING, silent=31)
    process = script(attempt_id)
    work = here.settings.home / "work" / "tr-gone-a1"
    work.mkdir(parents=True)
    assert repairs(reconcile(here, runs, dry_run=True)) == {attempt_id: Repair.END}
    assert process.poll() is None
    assert attempt_of(attempt_id).ended_at is None
    assert work.exists()
    assert runs.closed == {}


def test_without_prefect_the_records_alone_decide(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """A silent attempt is ended although its run cannot be closed; another after it is not held up."""
    runs.is_away = True
    first, second = granted(T.RUNNING, silent=31), granted(T.RUNNING, silent=31)
    assert repairs(reconcile(here, runs)) == {first: Repair.END, second: Repair.END}
    assert None not in {attempt_of(one).ended_at for one in (first, second)}


def test_a_slow_prefect_makes_nobody_silent(here: Platform, granted: Granted, runs: Any, monkeypatch: pytest.MonkeyPatch):
    """How long the look itself takes is not held against the attempts."""
    attempt_id, observe, looks = granted(silent=1), runs.observe, list[str]()

    def slow(flow_run_id: str) -> Any:
        """Take a minute."""
        looks.append(flow_run_id)
        return observe(flow_run_id)

    monkeypatch.setattr(runs, "observe", slow)
    monkeypatch.setattr(repair, "now", lambda: now() + timedelta(minutes=len(looks)))
    assert attempt_id not in repairs(reconcile(here, runs, dry_run=True))
    assert looks


def test_after_a_restart_instances_get_a_lease_to_be_heard(here: Platform, granted: Granted, runs: Any):
    """A controller that was away for minutes does not end what could not reach it."""
    attempt_id = granted(T.RUNNING, silent=300)
    assert repairs(reconcile(here, runs, listening_since=now())) == {}
    assert repairs(reconcile(here, runs, listening_since=now() - timedelta(seconds=31))) == {attempt_id: Repair.END}


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

    monkeypatch.setattr(repair.verbs, "open_attempts", looking)
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
    reconcile(here, runs)
    with here.records.reading() as session:
        states = {name: experiments.find(session, name).state for name in ("old", "fresh")}
    assert states == {"old": ExperimentState.CREATE_FAILED, "fresh": ExperimentState.CREATE_REQUESTED}
    assert fresh.id != old.id


def test_processes_are_those_of_the_mark():
    """The mark that reconcile looks for is the one that the launcher sets."""
    assert processes.MARK == "EMF_ATTEMPT"
