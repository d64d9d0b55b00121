"""Checkpoints in the records."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from blocks.records import attempt as verbs
from blocks.records import checkpoints, trainings
from blocks.records.database import Records
from blocks.records.tables import Attempt, now

Made = Callable[..., str]
START = now()


def granted(records: Records, training_id: str, *ran: float | None) -> list[str]:
    """Grant attempts that ran for so long by their own clocks (None: not told), each in an hour of its own."""
    ids: list[str] = []
    with records.writing() as session:
        for hour, seconds in enumerate(ran):
            row = trainings.find(session, training_id)
            attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
            attempt.running_at = START + timedelta(hours=hour)
            attempt.stopped_running_at = attempt.running_at + timedelta(seconds=100)
            attempt.ran_seconds, attempt.ended_at = seconds, attempt.stopped_running_at
            ids.append(attempt.id)
    return ids


def commit(records: Records, attempt_id: str, number: int, taken_at: datetime | None = None, keep: int = 3) -> None:
    with records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        path = f"file:///c/{attempt_id}/{number}"
        checkpoints.committed(session, attempt, number, path, files=1, size=1, keep=keep, taken_at=taken_at)


def kept(records: Records, training_id: str) -> list[tuple[int, int]]:
    with records.reading() as session:
        rows = trainings.find(session, training_id).attempts
        return [(row.number, one.number) for row in rows for one in row.checkpoints]


def test_the_newest_of_a_training_are_kept_whichever_attempt_made_them(records: Records, make: Made):
    """As a later attempt commits, the oldest of the earlier ones go; how many each has committed stays known."""
    training_id = make()
    first, second = granted(records, training_id, 1, 1)
    for number in (1, 2, 3):
        commit(records, first, number)
    commit(records, second, 1)
    assert kept(records, training_id) == [(1, 2), (1, 3), (2, 1)]
    commit(records, second, 2, keep=1)
    assert kept(records, training_id) == [(2, 2)]
    with records.reading() as session:
        assert [row.commits for row in trainings.find(session, training_id).attempts] == [3, 2]


def test_another_trainings_checkpoints_are_its_own(records: Records, make: Made):
    """Nothing of them goes."""
    one, other = make(), make()
    for training_id in (one, other):
        commit(records, granted(records, training_id, 1)[0], 1, keep=1)
    assert kept(records, one) == kept(records, other) == [(1, 1)]


@pytest.mark.parametrize(
    ("ran", "by", "taken_after", "lost"),
    [
        ((5,), None, 0, 5),  # no checkpoint: all that was done
        ((5, None), None, 0, 105),  # not told by its own clock: the records' times
        ((50,), 1, 30, 70),  # after the checkpoint was taken, until it stopped
        ((50, 7, 8), 1, 30, 85),  # and all that came after it
        ((50, 7, 8), 2, 99, 9),
        ((50,), 1, 300, 0),  # a clock that was set is no gain
    ],
)
def test_how_much_work_is_lost(
    records: Records, make: Made, ran: tuple[float | None, ...], by: int | None, taken_after: float, lost: float
):
    """What earlier attempts trained after the checkpoint that the next one goes on from, in seconds."""
    training_id = make()
    ids = granted(records, training_id, *ran)
    if by:
        commit(records, ids[by - 1], 1, START + timedelta(hours=by - 1, seconds=taken_after))
    next_one = granted(records, training_id, None)[0]
    with records.writing() as session:
        attempt = session.get(Attempt, next_one)
        made = checkpoints.resumed(attempt, f"file:///c/{ids[by - 1]}/1" if by else "")
        assert (made is not None) == (by is not None)
    with records.reading() as session:
        found = session.get(Attempt, next_one)
        assert found.seconds_lost == pytest.approx(lost, abs=0.01)
        assert found.resumed_from == (f"file:///c/{ids[by - 1]}/1" if by else "")
