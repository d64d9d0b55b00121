"""Wishes to stop that would never be obeyed."""

from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Training
from blocks.records.words import TrainingState, Wish
from flows.reconcile.findings import Repair
from flows.reconcile.stops import unheeded
from tests.flows.reconcile.conftest import Granted, all_written, left_long_ago, reconciled, repairs

T = TrainingState


@pytest.fixture
def missed(here: Platform, granted: Granted) -> str:
    """A training whose wish to stop came while its attempt ended, so that it waits for the next."""
    attempt_id = granted(T.RUNNING, silent=1)
    left_long_ago(here, attempt_id)
    with here.records.writing() as session:
        session.get(Training, attempt_id.removesuffix("-a1")).wish = Wish.STOP
    return attempt_id.removesuffix("-a1")


def test_a_stop_that_was_missed_is_found(here: Platform, runs: Any, missed: str):
    """By a quick look; a dry run says so; it is written down, and ends as a person wished."""
    assert repairs(reconciled(here, runs, dry_run=True))[missed] == Repair.STOP
    assert repairs(reconciled(here, runs))[missed] == Repair.STOP
    with here.records.reading() as session:
        row = trainings.find(session, missed)
        assert (row.state, row.reason) == (T.STOPPED, "USER")
    assert (missed, "stop", missed) in [one[:3] for one in all_written(here)]
    assert missed not in repairs(reconciled(here, runs))


@pytest.mark.parametrize("wish", [Wish.NONE, Wish.SUSPEND])
def test_who_waits_without_such_a_wish_waits_on(here: Platform, runs: Any, missed: str, wish: Wish):
    """Also one that is to pause: it goes on when the platform is up again."""
    with here.records.writing() as session:
        session.get(Training, missed).wish = wish
    assert missed not in repairs(reconciled(here, runs))


def test_who_has_an_attempt_is_stopped_by_that(here: Platform, runs: Any, granted: Granted):
    """The run obeys by itself."""
    training_id = granted(silent=1).removesuffix("-a1")
    with here.records.writing() as session:
        session.get(Training, training_id).wish = Wish.STOP
    assert repairs(reconciled(here, runs)) == {}


def test_what_was_found_is_looked_at_again(here: Platform, missed: str):
    """Between the look and the repair it may have been granted a machine: its run obeys."""
    (difference,) = unheeded(here)
    with here.records.writing() as session:
        row = trainings.find(session, missed)
        verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
    assert not difference.put_right()
    with here.records.reading() as session:
        assert trainings.find(session, missed).state == T.CREATE_IN_PROGRESS
