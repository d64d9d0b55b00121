"""What leaves the instance while the script runs."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.storage.errors import AccessDenied, StorageError, Unreachable
from flows.training.instances import uploads as uploading
from flows.training.instances.instance import Instance
from flows.training.instances.uploads import Uploads
from tests.flows.training.folders import fill, texts


@pytest.fixture
def one(instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch) -> Instance:
    """An instance whose uploads are due at every look."""
    monkeypatch.setattr(uploading, "SCALARS_SECONDS", 0)
    made = instance(checkpoint_path="")
    made.folders.tensorboard.mkdir(parents=True)
    return made


def sent(one: Instance, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The files of each upload."""
    told: list[set[str]] = []
    upload = one.storage.upload

    def counting(source: Path, place, progress=None, skip=lambda _name: False):
        told.append({name for name in texts(source) if not skip(name)})
        return upload(source, place, progress, skip)

    monkeypatch.setattr(one.storage, "upload", counting)
    return told


def test_only_what_changed_is_sent_again(one: Instance, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch):
    """Of TensorBoard's files each is sent when it is new or has grown, and all have arrived at the end."""
    told, source = sent(one, monkeypatch), one.folders.tensorboard
    watch = Uploads([one], tmp_path / "mirrored")
    assert watch._once(last=False)
    fill(source, {"train/a": b"1", "b": b"2"})
    assert watch._once(last=False)
    assert watch._once(last=False)
    with (source / "train" / "a").open("ab") as file:
        file.write(b"1")
    fill(source, {"c": b"3"})
    assert watch._once(last=False)
    assert watch._once(last=True)
    assert told == [{"train/a", "b"}, {"train/a", "c"}]
    there = {"train/a": "11", "b": "2", "c": "3"}
    assert texts(root / "output" / one.assignment.training_id / "tensorboard") == texts(tmp_path / "mirrored") == there


def test_what_did_not_arrive_is_sent_again(one: Instance, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch):
    """A place that was away misses nothing."""
    upload = one.storage.upload

    def away(*_: object, **__: object) -> None:
        raise Unreachable("The store is away.")

    watch = Uploads([one], tmp_path / "mirrored")
    fill(one.folders.tensorboard, {"a": b"1"})
    monkeypatch.setattr(one.storage, "upload", away)
    assert not watch._once(last=False)
    monkeypatch.setattr(one.storage, "upload", upload)
    assert watch._once(last=False)
    assert texts(root / "output" / one.assignment.training_id / "tensorboard") == {"a": "1"}


def fail_checkpoints(watch: Uploads, error: StorageError, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let every look at the checkpoints fail; each is counted."""
    looks: list[bool] = []

    def look(last: bool) -> None:
        looks.append(last)
        raise error

    monkeypatch.setattr(watch, "_checkpoint", look)
    return looks


@pytest.mark.parametrize("last", [False, True])
def test_a_checkpoint_that_fails_does_not_stop_the_curves(
    one: Instance, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, last: bool
):
    """They arrive, and are mirrored, all the same."""
    watch = Uploads([one], tmp_path / "mirrored")
    fail_checkpoints(watch, Unreachable("The store is away."), monkeypatch)
    fill(one.folders.tensorboard, {"a": b"1"})
    assert not watch._once(last=last)
    assert texts(root / "output" / one.assignment.training_id / "tensorboard") == {"a": "1"}
    assert texts(tmp_path / "mirrored") == {"a": "1"}


def test_a_refusal_is_not_repeated_at_the_end(one: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While the script runs it may be mended; once that has ended nobody waits for it."""
    watch = Uploads([one], tmp_path / "mirrored")
    looks = fail_checkpoints(watch, AccessDenied("The key was denied."), monkeypatch)
    assert not watch._once(last=False)
    monkeypatch.setattr(uploading, "LAST_SECONDS", 0.2)
    monkeypatch.setattr(uploading, "TICK_SECONDS", 0.01)
    watch._over.set()
    watch.start()
    watch.finish(is_whole=True)
    assert looks == [False, True]
    assert one.door.warnings == ["Warning: not uploaded: The key was denied."]


def test_a_place_that_hangs_holds_no_attempt_for_ever(one: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where nothing moves any more the end is not waited for, and that is told."""
    watch, hang = Uploads([one], tmp_path / "mirrored"), threading.Event()
    monkeypatch.setattr(watch, "_checkpoint", lambda _last: hang.wait(20))
    monkeypatch.setattr(uploading, "STALLED_SECONDS", 0.3)
    monkeypatch.setattr(uploading, "TICK_SECONDS", 0.01)
    watch.start()
    watch.finish(is_whole=True)
    assert one.door.warnings == ["Warning: not uploaded: nothing has moved for 0 s"]
    hang.set()


def test_the_same_fault_is_told_once_whatever_file_it_names(
    one: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each try writes to another name; another kind of fault, or of another step, is told."""
    watch, faults = Uploads([one], tmp_path / "mirrored"), iter([1, 2, 3])

    def fail(_last: bool) -> None:
        raise Unreachable(f"The file .{next(faults)}.part cannot be written.")

    monkeypatch.setattr(watch, "_checkpoint", fail)
    for _ in range(3):
        assert not watch._once(last=False)
    assert one.door.warnings == ["Warning: not uploaded: The file .1.part cannot be written."]
