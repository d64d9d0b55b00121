"""What an instance needs comes in."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.catalogue.catalogue import GIB
from blocks.records.words import Wish
from flows.training.checkpoint import commit, parse
from flows.training.instance import Instance, Interrupted, StepFailed
from flows.training.job import cores
from flows.training.staging import stage_in
from flows.training.verdict import Cause
from tests.flows.training.folders import silent, texts

Made = Callable[..., Instance]


def test_code_and_data_come_in(instance: Made):
    """Each in its folder; the folders that the script writes to are there and empty; progress ends at all."""
    told: dict[str, float] = {}
    one = instance()
    stage_in(one, lambda what, share: told.update({what: share}))
    assert list(texts(one.folders.source)) == ["train.py"]
    assert texts(one.folders.data_sets["digits"]) == {"digits.csv": "1,2,3\n"}
    for folder in (one.folders.model, one.folders.checkpoint, one.folders.checkpoint_input, one.folders.tensorboard):
        assert list(folder.iterdir()) == []
    assert told == {"the code": 1.0, "the data set digits": 1.0}


def test_staging_in_again_starts_afresh(instance: Made):
    """What an earlier try left in the attempt's folder is gone."""
    one = instance()
    stage_in(one, silent)
    (one.folders.model / "half").write_text("x")
    (one.folders.source / "old.py").write_text("x")
    stage_in(one, silent)
    assert texts(one.folders.model) == {}
    assert list(texts(one.folders.source)) == ["train.py"]


def test_what_is_not_there_any_more_is_the_datas_fault(instance: Made, root: Path):
    """A data set that went after the check ends the attempt as DATA, with its path."""
    one = instance()
    (root / "data" / "digits.csv").unlink()
    with pytest.raises(StepFailed, match="holds no files") as caught:
        stage_in(one, silent)
    assert caught.value.cause == Cause.DATA


def test_data_that_grew_beyond_its_storage(instance: Made, root: Path):
    """It is refused before it is copied, with both sizes."""
    one = instance(data_storage_gb=1)
    with (root / "data" / "sparse").open("wb") as file:
        file.truncate(2 * GIB)
    with pytest.raises(StepFailed, match=r"2\.0 GB, the data storage 1 GB"):
        stage_in(one, silent)
    assert not one.folders.data_sets["digits"].exists()


def test_links_that_lead_away_are_told_of(instance: Made, root: Path):
    """They are not copied, and a person sees which."""
    (root / "code" / "secret.py").symlink_to("/etc/hostname")
    one = instance()
    stage_in(one, silent)
    assert list(texts(one.folders.source)) == ["train.py"]
    assert "secret.py" in one.door.warnings[0]


def test_what_a_person_gives_is_the_checkpoint_input(instance: Made, root: Path):
    """It is there to read, and nothing lies where the script writes."""
    (root / "checkpoints" / "start.pt").write_text("weights")
    one = instance()
    stage_in(one, silent)
    assert texts(one.folders.checkpoint_input) == {"start.pt": "weights"}
    assert texts(one.folders.checkpoint) == {}


def test_other_trainings_checkpoints_are_no_input(instance: Made, root: Path):
    """A path where only trainings wrote is an empty input, and nothing is copied."""
    other = root / "checkpoints" / "tr-0123456789ab" / "attempt-1" / "checkpoint-1"
    other.mkdir(parents=True)
    (other / "model.pt").write_text("theirs")
    one = instance()
    stage_in(one, silent)
    assert texts(one.folders.checkpoint_input) == {}


@pytest.fixture
def resumed(instance: Made, root: Path, tmp_path: Path) -> Instance:
    """An instance that goes on from a committed checkpoint of an earlier attempt."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "model.pt").write_text("epoch 3")
    one = instance()
    place = parse(f"file://{root}/checkpoints/{one.assignment.training_id}/attempt-0/checkpoint-1", 2048)
    commit(one.storage, tmp_path / "saved", place, "a", 1)
    one.assignment.resume_from = str(place)
    return one


def test_a_retry_goes_on_from_its_checkpoint(resumed: Instance):
    """It lies where the script reads and where it writes: both ways to go on find it."""
    stage_in(resumed, silent)
    assert texts(resumed.folders.checkpoint_input) == texts(resumed.folders.checkpoint) == {"model.pt": "epoch 3"}


def test_a_damaged_checkpoint_is_not_gone_on_from(resumed: Instance):
    """The file is named, and the cause is the data."""
    file = Path("/" + parse(resumed.assignment.resume_from, 2048).key) / "model.pt"
    file.write_text("epoch 9")
    with pytest.raises(StepFailed, match=r"model\.pt") as caught:
        stage_in(resumed, silent)
    assert caught.value.cause == Cause.DATA


@pytest.mark.parametrize("how", ["wish", "given up", "signal"])
def test_a_stop_interrupts_the_staging(instance: Made, how: str):
    """A wish, a lost lease and a signal all end it before the copy is whole."""
    one = instance()
    if how == "wish":
        one.door.wish = Wish.STOP
    (one.stop if how == "signal" else one.door.given_up).set() if how != "wish" else None
    with pytest.raises(Interrupted):
        stage_in(one, silent)


@pytest.mark.parametrize(("vcpus", "count"), [(0.5, 1), (1, 1), (1.5, 2), (4096, 10_000)])
def test_processors_of_a_share(vcpus: float, count: int):
    """As many as asked, rounded up, at most all; the same for the same attempt."""
    there = os.sched_getaffinity(0)
    found = cores(vcpus, "tr-1-a1", 0)
    assert len(found) == min(count, len(there))
    assert set(found) <= there
    assert found == cores(vcpus, "tr-1-a1", 0)
