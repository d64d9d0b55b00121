"""What is looked at, what Prefect is asked, and what is held against whom: real records; only Prefect is in memory."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from blocks.platform import Platform
from blocks.records import survey
from blocks.records.database import BUSY_SECONDS
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from blocks.settings import Settings
from flows.reconcile import rounds
from flows.reconcile.findings import EXIT, Repair
from flows.training.instances.door import BEAT_SECONDS
from tests.flows.reconcile.conftest import Granted, left_long_ago, reconciled, repairs

T = TrainingState


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


@pytest.mark.parametrize("listening", [timedelta(seconds=29), timedelta(seconds=31)])
def test_what_ended_before_the_clock_was_set_back_is_closed(
    here: Platform, granted: Granted, runs: Any, script: Any, listening: timedelta
):
    """Its processes are ended, too: neither waits for the clock to come there again."""
    haunted, shown, silent = granted(silent=1), granted(silent=1), granted(T.RUNNING, silent=-3 * 3600)
    process = script(haunted)
    for attempt_id in (haunted, shown):
        left_long_ago(here, attempt_id)
        with here.records.writing() as session:
            session.get(Attempt, attempt_id).ended_at = now() + timedelta(hours=3)
    found = repairs(reconciled(here, runs, listening_since=now() - listening))
    is_late = listening > EXIT
    assert found == {silent: Repair.END} | ({haunted: Repair.KILL, shown: Repair.CLOSE_RUN} if is_late else {})
    assert (process.poll() is not None) == is_late


def test_what_is_heard_of_during_a_long_look_is_alive(
    here: Platform, granted: Granted, runs: Any, attempt_of: Any, monkeypatch: pytest.MonkeyPatch
):
    """A look may take longer than a lease: a beat that is far newer than its beginning is none of before a clock's."""
    attempt_id, began = granted(T.RUNNING, silent=1), now() - timedelta(minutes=1)
    clock = iter([began])
    monkeypatch.setattr(rounds, "now", lambda: next(clock, now()))
    assert repairs(reconciled(here, runs)) == {}
    assert attempt_of(attempt_id).ended_at is None


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


def test_more_than_a_page_is_looked_at(here: Platform, granted: Granted, runs: Any, monkeypatch: pytest.MonkeyPatch):
    """Page by page every attempt has its turn, and once."""
    monkeypatch.setattr(survey, "PAGE", 2)
    dead = [granted(T.RUNNING, silent=16) for _ in range(5)]
    ended = [granted(silent=1) for _ in range(5)]
    for one in ended:
        left_long_ago(here, one)
    found = reconciled(here, runs, dry_run=True).found
    assert sorted(one.subject for one in found) == sorted([*dead, *ended])


def test_while_the_door_is_shut_nobody_is_silent(here: Platform, granted: Granted, runs: Any):
    """The scheduled run beside a controller that is away ends nobody who could not be heard."""
    granted(T.RUNNING, silent=3600)
    assert repairs(reconciled(here, runs, listening_since=None)) == {}


def test_without_prefect_the_records_alone_decide(here: Platform, granted: Granted, runs: Any, attempt_of: Any):
    """A silent attempt is ended although its run cannot be closed; another after it is not held up."""
    runs.is_away = True
    first, second = granted(T.RUNNING, silent=16), granted(T.RUNNING, silent=16)
    assert repairs(reconciled(here, runs)) == {first: Repair.END, second: Repair.END}
    assert None not in {attempt_of(one).ended_at for one in (first, second)}


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
    monkeypatch.setattr(rounds, "now", lambda: now() + timedelta(minutes=len(looks)))
    assert attempt_id not in repairs(reconciled(here, runs, dry_run=True))
    assert looks


def test_after_a_restart_instances_get_a_lease_to_be_heard(here: Platform, granted: Granted, runs: Any):
    """A controller that was away for minutes does not end what could not reach it."""
    attempt_id = granted(T.RUNNING, silent=300)
    assert repairs(reconciled(here, runs, listening_since=now())) == {}
    assert repairs(reconciled(here, runs, listening_since=now() - timedelta(seconds=16))) == {attempt_id: Repair.END}


def test_the_lease_is_that_of_the_settings(here: Platform, granted: Granted, runs: Any, script: Any):
    """What is dead after fifteen seconds lives where the operator grants a minute."""
    attempt_id = granted(T.RUNNING, silent=20)
    script(attempt_id)
    here.settings.lease_seconds = 60
    assert repairs(reconciled(here, runs, dry_run=True)) == {}
    here.settings.lease_seconds = 15
    assert repairs(reconciled(here, runs, dry_run=True)) == {attempt_id: Repair.END}


def test_a_beat_is_answered_before_its_lease_is_over(tmp_path: Path):
    """However long another holds the records: what waits for them in vain is known of before silence is judged."""
    with pytest.raises(ValidationError):
        Settings(home=tmp_path, lease_seconds=9)
    shortest = Settings(home=tmp_path, lease_seconds=10)
    assert shortest.lease_seconds > BEAT_SECONDS + BUSY_SECONDS


KIND = "- {{name: cpu.small, vcpus: 1, memory_gb: 1, pool: {pool}}}"


@pytest.mark.parametrize(
    ("catalogue", "is_ended"),
    [(KIND.format(pool="process"), True), (KIND.format(pool="kubernetes"), False), ("- {name: [", False)],
)
def test_processes_are_missed_only_where_its_pool_has_them(
    here: Platform, granted: Granted, runs: Any, catalogue: str, is_ended: bool
):
    """Another pool's run, and any while the catalogue cannot be read, has the whole lease."""
    (here.settings.home / "catalogue").mkdir()
    (here.settings.home / "catalogue" / "instance_types.yaml").write_text(catalogue)
    attempt_id = granted(T.RUNNING, silent=9)
    assert repairs(reconciled(here, runs)) == ({attempt_id: Repair.END} if is_ended else {})
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).beat_at = now() - timedelta(seconds=16)
    assert repairs(reconciled(here, runs)) == ({} if is_ended else {attempt_id: Repair.END})
