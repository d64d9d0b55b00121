"""What leaves the instance while the script runs."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.storage.errors import AccessDenied, StorageError, Unreachable
from flows.training.checkpoints import keeper as keeping
from flows.training.instances import curves
from flows.training.instances import uploads as uploading
from flows.training.instances.instance import Instance
from flows.training.instances.uploads import Uploads
from tests.flows.training.folders import fill, give_away, texts


@pytest.fixture
def one(instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch) -> Instance:
    """An instance whose uploads are due at every look, also after a fault."""
    monkeypatch.setattr(curves, "SEND_SECONDS", 0)
    monkeypatch.setattr(uploading, "BACK_OFF_SECONDS", 0)
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


@pytest.mark.parametrize("fails", ["_checkpoint", "_mirror", "_scalars"])
def test_only_the_step_that_failed_waits(one: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str):
    """The others are taken at every look; at the end it is taken again at once."""
    monkeypatch.setattr(uploading, "BACK_OFF_SECONDS", 60)
    watch, taken = Uploads([one], tmp_path / "mirrored"), list[str]()

    def step(name: str) -> Callable[[bool], None]:
        def take(_last: bool) -> None:
            taken.append(name)
            if name == fails:
                raise Unreachable("The store is away.")

        take.__name__ = name
        return take

    names = ["_checkpoint", "_mirror", "_scalars"]
    for name in names:
        monkeypatch.setattr(watch, name, step(name))
    for _ in range(3):
        assert not watch._once(last=False)
    assert {name: taken.count(name) for name in names} == dict.fromkeys(names, 3) | {fails: 1}
    assert not watch._once(last=True)
    assert taken[-3:] == names


def test_an_old_checkpoint_that_stays_holds_up_nothing(
    instance: Callable[..., Instance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A store that deletes nothing gets each new one all the same, and the end is not waited for; it is told once."""
    monkeypatch.setattr(uploading, "BACK_OFF_SECONDS", 0)
    monkeypatch.setattr(keeping, "STILL_SECONDS", 0)
    one = instance(checkpoints_kept=1)
    one.folders.checkpoint.mkdir(parents=True)

    def refuse(*_: object) -> None:
        raise Unreachable("Its clock was set back.")

    watch, told = Uploads([one], tmp_path / "mirrored"), list[int]()
    monkeypatch.setattr(one.door, "checkpoint", lambda kept: told.append(kept.number))
    monkeypatch.setattr(one.storage, "delete", refuse)
    for number in range(3):
        fill(one.folders.checkpoint, {"weights": b"x" * (number + 1)})
        watch._once(last=False)
        watch._once(last=False)
    fill(one.folders.checkpoint, {"weights": b"last"})
    assert watch._once(last=True)
    assert told == [1, 2, 3, 4]
    assert one.door.warnings == ["Warning: an older checkpoint is still there: Its clock was set back."]


def test_a_fault_of_the_curves_holds_up_no_checkpoint(one: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While the curves wait for their next try the checkpoints are looked at as often as ever."""
    monkeypatch.setattr(uploading, "BACK_OFF_SECONDS", 60)
    monkeypatch.setattr(uploading, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(uploading, "LAST_SECONDS", 0)
    watch, looks, often = Uploads([one], tmp_path / "mirrored"), list[bool](), threading.Event()

    def look(last: bool) -> None:
        looks.append(last)
        if len(looks) >= 3:
            often.set()

    def away(*_: object, **__: object) -> None:
        raise Unreachable("The store is away.")

    monkeypatch.setattr(watch, "_checkpoint", look)
    monkeypatch.setattr(one.storage, "upload", away)
    fill(one.folders.tensorboard, {"a": b"1"})
    watch.start()
    assert often.wait(20)
    watch.finish(is_whole=True)


def test_a_file_that_nobody_may_read_stops_no_other(
    one: Instance, tmp_path: Path, root: Path, unprivileged: Callable[[], None]
):
    """The other curves are mirrored and sent, and nothing is waited for; which file it is is told once."""
    fill(one.folders.tensorboard, {"a": b"1", "odd": b"secret", "closed/b": b"2"})
    give_away(tmp_path)
    for odd in ("odd", "closed"):
        (one.folders.tensorboard / odd).chmod(0)
    unprivileged()
    watch = Uploads([one], tmp_path / "mirrored")
    assert watch._once(last=False)
    assert watch._once(last=True)
    assert texts(root / "output" / one.assignment.training_id / "tensorboard") == {"a": "1"}
    assert texts(tmp_path / "mirrored") == {"a": "1"}
    assert len(one.door.warnings) == 2
    assert "tensorboard/odd: Permission denied" in one.door.warnings[0]
    assert "tensorboard/closed" in one.door.warnings[1]


def test_of_many_that_are_left_out_the_log_has_all(one: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The warnings, each of which takes a call, are few."""
    said: list[str] = []
    monkeypatch.setattr(one.log, "say", lambda text, _level: said.append(text))
    fill(one.folders.tensorboard, {f"odd-{number}": b"x" for number in range(20)})
    fill(tmp_path / "mirrored", {f"odd-{number}/old": b"x" for number in range(20)})
    watch = Uploads([one], tmp_path / "mirrored")
    for _ in range(2):
        assert watch._once(last=False)
    assert (len(said), len(one.door.warnings)) == (20, 5)


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
