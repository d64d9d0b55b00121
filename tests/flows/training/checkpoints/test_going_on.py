"""From where an attempt goes on, in the training's events."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import checkpoints, trainings
from blocks.records.tables import now
from flows.training.checkpoints.going_on import go_on

FROM_THE_THIRD = "Attempt 2 goes on from checkpoint 3 of attempt 1; it costs 3 min 10 s of training after it."
FROM_THE_BEGINNING = (
    "Attempt 2 starts from the beginning: there is no checkpoint that is whole; it costs 1 h 2 min of training."
)


@pytest.mark.parametrize(
    ("path", "how", "told"),
    [
        (
            "file:///c/1",
            {},
            [FROM_THE_THIRD],
        ),
        (
            "",
            {},
            [FROM_THE_BEGINNING],
        ),
        (
            "file:///mine",
            {"is_verified": False},
            [
                "Attempt 2 goes on from the checkpoint file:///mine, unverified: it carries no manifest of ours; "
                "it costs 1 h 2 min of training."
            ],
        ),
        (
            "file:///c/1",
            {"differs": ["of the code train.py is changed", "the image was a, now b"]},
            [
                FROM_THE_THIRD,
                "Warning: file:///c/1 was made under other conditions: "
                "of the code train.py is changed; the image was a, now b.",
            ],
        ),
    ],
)
def test_what_a_retry_costs_is_told(here: Platform, make: Callable[..., str], path: str, how: Any, told: list[str]):
    """From which checkpoint, how much work is lost, and what is different from when that was made."""
    training_id = make()
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        first = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
        first.ended_at = first.stopped_running_at = now()
        first.running_at, first.ran_seconds = first.ended_at - timedelta(seconds=3720), 3720
        taken_at = first.ended_at - timedelta(seconds=190)
        checkpoints.committed(session, first, 3, "file:///c/1", files=1, size=1, keep=3, taken_at=taken_at)
        second = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
        for _ in range(2):  # the answer to the first is lost
            go_on(session, second, path, **how)
    with here.records.reading() as session:
        messages = [event.message for event in trainings.events_of(session, "training", training_id)]
    assert [one for one in messages if one.startswith(("Attempt 2 goes", "Attempt 2 starts", "Warning"))] == told


def test_a_first_attempt_that_goes_on_from_a_persons_checkpoint_loses_nothing(here: Platform, make: Callable[..., str]):
    """It says from where, and no more."""
    training_id = make()
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        go_on(session, verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[]), "file:///mine")
    with here.records.reading() as session:
        last = trainings.events_of(session, "training", training_id)[-1].message
    assert last == "Attempt 1 goes on from the checkpoint file:///mine."
