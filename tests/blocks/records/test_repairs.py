"""What was put right, written down."""

from collections.abc import Callable

import pytest

from blocks.records import repairs, trainings
from blocks.records.database import Records
from blocks.records.words import TrainingState


def test_the_newest_comes_first(records: Records):
    """Each with its subject, what was done, what differed and whom it concerns."""
    with records.writing() as session:
        repairs.write(session, "tr-1-a1", "end", "lost: silent", "tr-1")
        repairs.write(session, "a folder", "remove", "nobody's")
    with records.reading() as session:
        found = repairs.newest(session, 10)
        assert [(one.subject, one.repair, one.what, one.training_id) for one in found] == [
            ("a folder", "remove", "nobody's", ""),
            ("tr-1-a1", "end", "lost: silent", "tr-1"),
        ]
        assert len(repairs.newest(session, 1)) == 1


def test_only_the_newest_thousand_are_kept(records: Records, monkeypatch: pytest.MonkeyPatch):
    """Also where some of those between are missing, as after a transaction that was taken back."""
    assert repairs.KEPT == 1000
    monkeypatch.setattr(repairs, "KEPT", 3)
    with records.writing() as session:
        for number in range(5):
            repairs.write(session, str(number), "end", "")
        session.delete(repairs.newest(session, 2)[1])
        repairs.write(session, "5", "end", "")
        repairs.write(session, "6", "end", "")
        assert [one.subject for one in repairs.newest(session, 10)] == ["6", "5", "4"]


def test_a_long_path_is_cut_to_what_the_records_hold(records: Records):
    """What was done is written down all the same."""
    with records.writing() as session:
        repairs.write(session, "x" * 300, "remove", "")
        assert repairs.newest(session, 1)[0].subject == "x" * 255


def test_repairs_outlive_their_training(records: Records, make: Callable[..., str]):
    """Who asks later why something was removed is told."""
    training_id = make(TrainingState.STOPPED)
    with records.writing() as session:
        repairs.write(session, f"{training_id}-a1", "end", "", training_id)
        trainings.forget(session, trainings.find(session, training_id))
    with records.reading() as session:
        assert [one.training_id for one in repairs.newest(session, 10)] == [training_id]
