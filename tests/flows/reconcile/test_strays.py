"""Processes that no record wants: real ones, of this platform and of others."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from blocks.platform import Platform
from blocks.pools import processes
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from flows.reconcile import clearing
from flows.reconcile.alone import alone
from flows.reconcile.findings import Repair
from tests.flows.reconcile.conftest import Granted, all_written, left_long_ago, reconciled, repairs

T = TrainingState


def test_processes_of_a_training_that_was_deleted_are_ended(here: Platform, runs: Any, script: Any, granted: Granted):
    """The records know nothing of its attempt any more, and this platform started it; those that are known stay."""
    alive = granted(silent=1)
    stray, wanted = script("tr-dddddddddddd-a1"), script(alive)
    assert repairs(reconciled(here, runs)) == {"tr-dddddddddddd-a1": Repair.KILL}
    assert not psutil.pid_exists(stray.pid)
    assert wanted.poll() is None
    ((subject, repaired, training_id, what),) = all_written(here)
    assert (subject, repaired, training_id) == ("tr-dddddddddddd-a1", "end processes", "")
    assert what == "1 process(es) live of an attempt that the records do not know"


@pytest.mark.parametrize("known", [False, True])
def test_another_platforms_processes_are_never_touched(
    here: Platform, granted: Granted, runs: Any, script: Any, tmp_path: Path, known: bool
):
    """Neither one of an attempt that only the other knows, nor, beside a copy of its records, one of the same id."""
    attempt_id = granted(silent=1) if known else "tr-dddddddddddd-a1"
    if known:
        left_long_ago(here, attempt_id)
    other = tmp_path / "another"
    folder = other / "work" / attempt_id / "instance-0"
    folder.mkdir(parents=True)
    run = script(attempt_id, EMF_HOME=str(other))
    own = script(attempt_id, EMF_HOME="", HOME=str(folder / "home"), EM_MODEL_DIR=str(folder / "model"))
    assert Repair.KILL not in repairs(reconciled(here, runs, thorough=True)).values()
    assert (run.poll(), own.poll()) == (None, None)


def test_a_deaf_script_holds_up_no_other_death(here: Platform, granted: Granted, runs: Any, script: Any):
    """What takes long is done aside: the next look finds the next death, and each is written down once."""
    first, second = granted(T.RUNNING, silent=16), granted(T.RUNNING, silent=1)
    process = script(first)
    works: list[Callable[[], None]] = []
    assert repairs(reconciled(here, runs, aside=works.append)) == {first: Repair.END}
    assert process.poll() is None
    with here.records.writing() as session:
        session.get(Attempt, second).beat_at = now() - timedelta(minutes=1)
    assert repairs(reconciled(here, runs, aside=works.append)) == {second: Repair.END}
    for work in works:
        work()
    assert not psutil.pid_exists(process.pid)
    assert sorted(one[0] for one in all_written(here)) == sorted([first, second])


def test_what_is_being_ended_is_not_ended_twice(here: Platform, runs: Any, script: Any):
    """A look while another one gives a stray its grace finds it as well, and leaves it to that."""
    process = script("tr-dddddddddddd-a1")
    with alone(here.settings.home / "ending.lock") as mine:
        assert mine
        assert repairs(reconciled(here, runs)) == {"tr-dddddddddddd-a1": Repair.KILL}
        assert process.poll() is None
    assert all_written(here) == []


def test_what_does_not_end_is_no_repair(here: Platform, runs: Any, script: Any, monkeypatch: pytest.MonkeyPatch):
    """A process that outlives SIGKILL is found again, and nobody is told that it has gone."""
    script("tr-dddddddddddd-a1")
    monkeypatch.setattr(processes, "_signal", lambda _send: None)
    monkeypatch.setattr(processes, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(clearing, "KILL_GRACE_SECONDS", 0.1)
    for _ in range(2):
        assert repairs(reconciled(here, runs)) == {"tr-dddddddddddd-a1": Repair.KILL}
    assert all_written(here) == []
