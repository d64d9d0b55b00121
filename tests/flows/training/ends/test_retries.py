"""How long a next attempt waits, where checkpoints pay for all of them."""

import pytest

from blocks.records.words import Reason
from flows.training.ends.retries import BACK_OFF, LONGEST_WITH_CHECKPOINT, OFTEN, Ended, next_try

R = Reason


def after(count: int, reason: Reason = R.INTERRUPTED) -> int:
    """Return the wait after so many ends for one reason in a row, each with a checkpoint, and one more."""
    retry = next_try(reason, [Ended(reason, committed=True)] * count, committed=True)
    assert retry is not None
    return retry.after_seconds


def test_one_that_gets_on_waits_no_longer_for_a_while():
    """Ten machines lost in a row cost the shortest wait each."""
    assert {after(count) for count in range(OFTEN + 1)} == {BACK_OFF[R.INTERRUPTED][0]}


def test_one_that_ends_alike_for_ever_is_tried_less_and_less_often():
    """A script that saves something new at its start and then always dies does not run all the time."""
    waits = [after(count) for count in range(OFTEN, OFTEN + 30)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WITH_CHECKPOINT


@pytest.mark.parametrize("reason", BACK_OFF)
def test_no_wait_with_a_checkpoint_is_shorter_than_the_first_without(reason: Reason):
    """A place that is away takes its time, however well a training gets on."""
    assert after(0, reason) == after(OFTEN, reason) == BACK_OFF[reason][0]


def test_another_reason_between_begins_anew():
    """Ends that have nothing to do with each other are not added up."""
    history = [Ended(R.INTERRUPTED, committed=True)] * 30 + [Ended(R.MACHINE_LOST, committed=True)]
    assert next_try(R.INTERRUPTED, history, committed=True).after_seconds == BACK_OFF[R.INTERRUPTED][0]
