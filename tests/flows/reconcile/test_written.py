"""Every repair is written down, once, and told to the training that it concerns."""

from datetime import timedelta
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from flows.reconcile import repair
from flows.reconcile.findings import find
from flows.reconcile.hearing import Hearing
from flows.reconcile.look import Prefect, look
from flows.reconcile.repair import Mending
from flows.reconcile.rounds import at_once
from tests.flows.reconcile.conftest import Granted, all_written, left_long_ago, reconciled, repairs

T = TrainingState


@pytest.fixture
def all_wrong(granted: Granted, runs: Any, script: Any, here: Platform) -> list[str]:
    """Attempts that each need another repair."""
    dead, waiting, ended = granted(T.RUNNING, silent=16), granted(run="SCHEDULED"), granted(T.RUNNING, silent=1)
    shown, haunted = granted(silent=1), granted(silent=1, run="COMPLETED")
    cancelled = granted(T.RUNNING, silent=1, run="CANCELLING")
    del runs.states_of[f"run-of-{waiting}"]
    for one in (shown, haunted):
        left_long_ago(here, one)
    script(haunted)
    with here.records.writing() as session:
        session.get(Attempt, ended).training.state = T.FAIL_TRAIN
    return [dead, waiting, shown, haunted, ended, cancelled]


def test_every_repair_is_written_down_and_told_to_its_training(here: Platform, runs: Any, all_wrong: list[str]):
    """Once: in the repairs with its cause, and among the training's events where no transition has said it."""
    dead, waiting, shown, haunted, ended, cancelled = all_wrong
    for _ in range(2):
        reconciled(here, runs)
    told = {
        dead: ("end", "lost: it has been silent for", "It is tried again"),
        waiting: ("submit again", "Prefect does not know the run", "Put right (submit again)"),
        shown: ("close run", "as RUNNING", "Put right (close run)"),
        haunted: ("end processes", "1 process(es) live of an attempt that has ended", "Put right (end processes)"),
        ended: ("release", "although its training has ended", "Put right (release)"),
        cancelled: ("stop", "its run was cancelled in Prefect", "A person asked it to stop."),
    }
    found = all_written(here)
    assert sorted(one[0] for one in found) == sorted(told)
    for subject, repaired, training_id, what in found:
        wanted, because, event = told[subject]
        assert (repaired, training_id) == (wanted, subject.removesuffix("-a1"))
        assert because in what
        assert event in last_event(here, training_id)


def test_two_at_once_do_everything_once(here: Platform, runs: Any, all_wrong: list[str]):
    """The controller and the scheduled flow may look at the same moment, and both see what only one puts right."""
    hearing = Hearing(now(), now() - timedelta(hours=2), timedelta(seconds=15))
    pages = list(look(here, Prefect(runs), hearing))
    for _ in range(2):
        for page in pages:
            Mending(here, runs, hearing, at_once).mend(page, find(page, hearing))
    assert sorted(one[0] for one in all_written(here)) == sorted(all_wrong)


def test_one_that_cannot_be_repaired_holds_up_no_other(
    here: Platform, granted: Granted, runs: Any, attempt_of: Any, monkeypatch: pytest.MonkeyPatch
):
    """The others are put right, it is found again, and nothing is written down of it."""
    first, second = sorted(granted(T.RUNNING, silent=16) for _ in range(2))
    close = repair.attempts.close

    def fail_at_first(session: Any, row: Any, evidence: Any) -> Any:
        return close(session, row, evidence) if row.id == second else 1 / 0

    monkeypatch.setattr(repair.attempts, "close", fail_at_first)
    assert set(repairs(reconciled(here, runs))) == {first, second}
    assert (attempt_of(first).ended_at, attempt_of(second).ended_at is None) == (None, False)
    assert [one[0] for one in all_written(here)] == [second]


def last_event(here: Platform, training_id: str) -> str:
    with here.records.reading() as session:
        return trainings.events_of(session, "training", training_id)[-1].message
