"""From which checkpoint an attempt goes on."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from blocks.storage.location import parse
from flows.training.checkpoints.checkpoint import commit, manifest_of
from flows.training.checkpoints.keeper import Keeper, Kept
from flows.training.checkpoints.provenance import Provenance
from flows.training.checkpoints.snapshot import Part
from flows.training.checkpoints.start import part_of, read_start
from flows.training.ends.verdict import Cause
from flows.training.instances.contract import Rank
from flows.training.instances.instance import Instance, StepFailed
from flows.training.instances.resume import bring_checkpoint
from flows.training.instances.staging import stage_in
from tests.flows.training.folders import fill, silent, texts

Made = Callable[..., Instance]
OTHER = "tr-0123456789ab"


def come(*instances: Instance) -> None:
    """Stage all of an attempt in, as its run does."""
    for one in instances:
        stage_in(one, silent)
    bring_checkpoint(instances, silent)


def keep(one: Instance, saved: Path, path: str, number: int, made_from: Provenance | None = None) -> None:
    """Commit a folder as a checkpoint of one instance."""
    place, parts = parse(path, 2048), [Part(saved)]
    commit(one.storage, parts, place, manifest_of(parts, place, "a", number, made_from=made_from))


def test_what_a_person_gives_is_the_checkpoint_input(instance: Made, root: Path):
    """It is there to read, and nothing lies where the script writes."""
    (root / "checkpoints" / "start.pt").write_text("weights")
    one = instance()
    come(one)
    assert texts(one.folders.checkpoint_input) == {"start.pt": "weights"}
    assert texts(one.folders.checkpoint) == {}


def test_other_trainings_checkpoints_are_no_input(instance: Made, root: Path):
    """A path where only trainings wrote is an empty input, and nothing is copied."""
    other = root / "checkpoints" / "tr-0123456789ab" / "attempt-1" / "checkpoint-1"
    other.mkdir(parents=True)
    (other / "model.pt").write_text("theirs")
    one = instance()
    come(one)
    assert texts(one.folders.checkpoint_input) == {}


@pytest.fixture
def resumed(instance: Made, tmp_path: Path) -> Instance:
    """An instance that goes on from two committed checkpoints of an earlier attempt."""
    one = instance()
    for number in (1, 2):
        path = f"{one.assignment.spec.checkpoint_path}/{one.assignment.training_id}/attempt-0/checkpoint-{number}"
        saved = fill(tmp_path / f"saved-{number}", {"model.pt": b"epoch %d" % number, f"only-{number}": b""})
        keep(one, saved, path, number)
        one.assignment.resume_from.insert(0, path)
    return one


def on_disk(path: str) -> Path:
    return Path("/" + parse(path, 2048).key)


def test_a_retry_goes_on_from_its_newest_checkpoint(resumed: Instance):
    """It lies where the script reads and where it writes: both ways to go on find it."""
    come(resumed)
    for folder in (resumed.folders.checkpoint_input, resumed.folders.checkpoint):
        assert texts(folder) == {"model.pt": "epoch 2", "only-2": ""}
    assert resumed.door.warnings == []
    assert resumed.door.went_on == [(resumed.assignment.resume_from[0], True, [])]
    assert resumed.resumed is not None
    assert str(resumed.resumed.place) == resumed.assignment.resume_from[0]


@pytest.mark.parametrize("what", ["damaged", "deleted", "without marker", "without manifest"])
def test_a_checkpoint_that_is_not_whole_is_passed_over(resumed: Instance, what: str):
    """The one before it is gone on from, unmixed; a warning names what was passed over, and why."""
    newest = on_disk(resumed.assignment.resume_from[0])
    if what == "damaged":
        (newest / "model.pt").write_text("epoch 9")
    elif what == "deleted":
        shutil.rmtree(newest)
    else:
        Path(f"{newest}.{'committed' if what == 'without marker' else 'manifest.json'}").unlink()
    come(resumed)
    for folder in (resumed.folders.checkpoint_input, resumed.folders.checkpoint):
        assert texts(folder) == {"model.pt": "epoch 1", "only-1": ""}
    assert len(resumed.door.warnings) == 1
    assert f"does not go on from {resumed.assignment.resume_from[0]}: " in resumed.door.warnings[0]


def test_without_one_that_is_whole_it_starts_from_what_a_person_gave(resumed: Instance, root: Path):
    """Or from nothing; it never fails for its own checkpoints, and a warning says that it starts without."""
    (root / "checkpoints" / "start.pt").write_text("weights")
    for path in resumed.assignment.resume_from:
        (on_disk(path) / "model.pt").unlink()
    come(resumed)
    assert texts(resumed.folders.checkpoint_input) == {"start.pt": "weights"}
    assert texts(resumed.folders.checkpoint) == {}
    assert [f"checkpoint-{n}" in told for n, told in zip((2, 1), resumed.door.warnings, strict=False)] == [True, True]
    assert resumed.door.went_on == [(str(root.as_uri()) + "/checkpoints", False, [])]


def test_a_damaged_checkpoint_that_a_person_gave_is_the_datas_fault(instance: Made, tmp_path: Path, root: Path):
    """Only a person can give another; the file is named."""
    place = f"file://{root}/checkpoints/{OTHER}/attempt-1/checkpoint-1"
    one = instance(checkpoint_path=place)
    keep(one, fill(tmp_path / "saved", {"model.pt": b"m"}), place, 1)
    (on_disk(place) / "model.pt").write_text("x")
    with pytest.raises(StepFailed, match=r"model\.pt") as caught:
        come(one)
    assert caught.value.cause == Cause.DATA


def test_another_trainings_checkpoint_is_gone_on_from_and_left_alone(instance: Made, tmp_path: Path, root: Path):
    """It is the input, without what lies below it; what this training writes lies beside the other's folder."""
    place = f"file://{root}/checkpoints/{OTHER}/attempt-1/checkpoint-1"
    one = instance(checkpoint_path=place)
    keep(one, fill(tmp_path / "saved", {"model.pt": b"m"}), place, 1)
    fill(on_disk(place) / "tr-ba9876543210" / "attempt-1" / "checkpoint-1", {"model.pt": b"a third's"})
    come(one)
    assert texts(one.folders.checkpoint_input) == {"model.pt": "m"}
    assert one.assignment.checkpoints == f"file://{root}/checkpoints/{one.assignment.training_id}/attempt-1"


def test_what_is_different_now_is_told(instance: Made, tmp_path: Path, root: Path):
    """What a person gave was made with another hyperparameter and other code: it goes on, and that is said."""
    first = instance()
    come(first)
    made_from = read_start(first.root).made_from
    place = f"file://{root}/checkpoints/{OTHER}/attempt-1/checkpoint-1"
    keep(first, fill(tmp_path / "saved", {"model.pt": b"m"}), place, 1, made_from)
    (root / "code" / "train.py").write_text("print('other')")
    second = instance(checkpoint_path=place, hyperparameters={"learning-rate": "0.2"})
    come(second)
    differs = ["the hyperparameter learning-rate was 0.1, now 0.2", "of the code train.py is changed"]
    assert second.door.went_on == [(place, True, differs)]


def test_the_first_attempt_without_a_checkpoint_tells_nothing(instance: Made):
    """There is nothing to lose; a later one tells that it starts from the beginning."""
    one = instance()
    come(one)
    assert one.door.went_on == []
    later = instance()
    later.assignment = later.assignment.model_copy(update={"number": 2})
    come(later)
    assert later.door.went_on == [("", False, [])]


def test_what_others_saved_is_read_by_all_and_stays_theirs(instance: Made, tmp_path: Path, storage):
    """One process saved for both: each goes on from that, and what is committed next has it once."""
    first = instance(instance_count=2)
    first.rank = Rank(0, 2, ("127.0.0.1",) * 2)
    second = replace(first, rank=replace(first.rank, index=1), root=first.root.with_name("instance-1"))
    both = [first, second]
    folders = [fill(tmp_path / "0", {"model.pt": b"1"}), fill(tmp_path / "1", {"rng": b"1"})]
    parts = [Part(folder, f"instance-{index}/") for index, folder in enumerate(folders)]
    path = f"{first.assignment.spec.checkpoint_path}/{first.assignment.training_id}/attempt-0/checkpoint-1"
    commit(storage, parts, parse(path, 2048), manifest_of(parts, parse(path, 2048), "a", 1, instances=2))
    first.assignment.resume_from.insert(0, path)
    come(*both)
    for one in both:
        assert texts(one.folders.checkpoint_input) == texts(one.folders.checkpoint) == {"model.pt": "1", "rng": "1"}
    assert len(first.door.went_on) == 1
    told = []
    of = Kept("a", f"file://{tmp_path}/there", 3, before=first.resumed)
    watch = Keeper(storage, [part_of(one.root, one.rank.index, 2) for one in both], tmp_path / "copy", of, told.append)
    assert watch.finish() is None
    fill(first.folders.checkpoint, {"model.pt": b"2"})
    fill(second.folders.checkpoint, {"rng": b"2"})
    watch.finish()
    assert texts(tmp_path / "there" / "checkpoint-1") == {"instance-0/model.pt": "2", "instance-1/rng": "2"}


def test_all_instances_go_on_from_the_same(instance: Made, tmp_path: Path, storage):
    """What is damaged in one part only is passed over by all: else they would go on from different steps."""
    first = instance(instance_count=2)
    first.rank = Rank(0, 2, ("127.0.0.1",) * 2)
    second = replace(first, rank=replace(first.rank, index=1), root=first.root.with_name("instance-1"))
    for number in (1, 2):
        parts = [
            Part(fill(tmp_path / f"{number}-{index}", {"step": b"%d" % number}), f"instance-{index}/")
            for index in (0, 1)
        ]
        path = f"{first.assignment.spec.checkpoint_path}/{first.assignment.training_id}/attempt-0/checkpoint-{number}"
        commit(storage, parts, parse(path, 2048), manifest_of(parts, parse(path, 2048), "a", number, instances=2))
        first.assignment.resume_from.insert(0, path)
    (on_disk(first.assignment.resume_from[0]) / "instance-1" / "step").write_text("9")
    come(first, second)
    for one in (first, second):
        assert texts(one.folders.checkpoint) == texts(one.folders.checkpoint_input) == {"step": "1"}
        assert one.resumed is not None
        assert str(one.resumed.place) == first.assignment.resume_from[1]
    assert [path for path, _, _ in first.door.went_on] == [first.assignment.resume_from[1]]
