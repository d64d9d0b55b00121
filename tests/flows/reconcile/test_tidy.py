"""What ended attempts leave: kept where it is worth it, withdrawn where it must not count, then removed."""

import fcntl
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from blocks.errors import Permanent, Temporary
from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from blocks.storage.location import Location, parse
from blocks.storage.store import READ_LIMIT
from flows.reconcile import tidy as tidying
from flows.reconcile.tidy import tidy
from flows.training import checkpoint
from flows.training.checkpoint import beside, commit, manifest_of

T = TrainingState
Ended = Callable[..., str]


@pytest.fixture
def ended(here: Platform, make: Callable[..., str]) -> Ended:
    """End an attempt, which left these files in its checkpoint folder; returns its id."""

    def go(to: TrainingState, files: dict[str, str], *, state: TrainingState = T.RUNNING, ago: float = 0) -> str:
        training_id = make(state)
        with here.records.writing() as session:
            attempt = verbs.grant(
                session, trainings.find(session, training_id), machine="here", memory_bytes=1, gpus=[]
            )
            verbs.end(session, attempt, to, reason=None, message="", evidence={})
            attempt.ended_at = now() - timedelta(seconds=ago)
        folder = checkpoint_folder(here, attempt.id)
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        return attempt.id

    return go


def checkpoint_folder(here: Platform, attempt_id: str) -> Path:
    return here.settings.home / "work" / attempt_id / "instance-0" / "checkpoint"


def kept(attempt_of: Any, attempt_id: str) -> list[str]:
    return [c.path for c in attempt_of(attempt_id).checkpoints]


def test_what_a_killed_run_could_not_send_is_kept(here: Platform, ended: Ended, attempt_of: Any, places: Any):
    """A checkpoint that was written in the last seconds of a cancelled run is committed; then its folder goes."""
    attempt_id = ended(T.STOPPED, {"weights": "new"})
    assert tidy(here) == [attempt_id]
    training_id = attempt_id.removesuffix("-a1")
    path = f"{places['checkpoint_path']}/{training_id}/attempt-1/checkpoint-1"
    assert kept(attempt_of, attempt_id) == [path]
    assert here.storage.read(parse(f"{path}/weights")) == b"new"
    assert here.storage.read(parse(f"{path}.committed"))
    assert not (here.settings.home / "work" / attempt_id).exists()


def test_what_was_sent_already_is_not_sent_again(here: Platform, ended: Ended, attempt_of: Any, places: Any):
    """The folder's state is its training's last checkpoint: nothing is added. One that differs is the next number."""
    attempt_id = ended(T.STOPPED, {"weights": "same"})
    training_id, folder = attempt_id.removesuffix("-a1"), checkpoint_folder(here, attempt_id)
    place = parse(f"{places['checkpoint_path']}/{training_id}/attempt-1/checkpoint-4")
    done = commit(here.storage, folder, place, attempt_id, 4)
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.checkpoint(session, attempt, 4, done.path, files=done.files, size=done.bytes, keep=3)
    tidy(here)
    assert kept(attempt_of, attempt_id) == [str(place)]
    folder.mkdir(parents=True)
    (folder / "weights").write_text("newer")
    tidy(here)
    assert [path.rpartition("-")[2] for path in kept(attempt_of, attempt_id)] == ["4", "5"]


@pytest.mark.parametrize(("told", "text"), [((1, 2, 3), "newer"), ((2, 3, 4), "4"), ((1, 2), "newer")])
def test_no_more_files_are_kept_than_the_records_tell_of(
    here: Platform, ended: Ended, attempt_of: Any, places: Any, tmp_path: Path, told: tuple[int, ...], text: str
):
    """What one more pushes out is deleted, also what a run that was killed had pushed out and not deleted yet."""
    attempt_id = ended(T.STOPPED, {"weights": text})
    root = f"{places['checkpoint_path']}/{attempt_id.removesuffix('-a1')}/attempt-1"
    (tmp_path / "before").mkdir()
    for number in range(1, told[-1] + 1):
        (tmp_path / "before" / "weights").write_text(str(number))
        place = parse(f"{root}/checkpoint-{number}")
        done = commit(here.storage, tmp_path / "before", place, attempt_id, number)
        if number in told:
            with here.records.writing() as session:
                attempt = session.get(Attempt, attempt_id)
                verbs.checkpoint(session, attempt, number, done.path, files=1, size=done.bytes, keep=3)
    tidy(here)
    there = {path.name.partition(".")[0] for path in Path(root.removeprefix("file://")).iterdir()}
    assert there == {path.rpartition("/")[2] for path in kept(attempt_of, attempt_id)}
    assert len(there) == 3


@pytest.fixture
def sent(here: Platform, places: Any, tmp_path: Path) -> Callable[[str], Location]:
    """Commit another checkpoint of an attempt than lies in its folder, as a run that was killed before it told."""

    def go(attempt_id: str) -> Location:
        (tmp_path / "older").mkdir()
        (tmp_path / "older" / "other").write_text("old")
        root = f"{places['checkpoint_path']}/{attempt_id.removesuffix('-a1')}/attempt-1"
        commit(here.storage, tmp_path / "older", place := parse(f"{root}/checkpoint-1"), attempt_id, 1)
        return place

    return go


@pytest.mark.parametrize(
    "lacks", ["its marker", "its manifest", "a file", "a whole file", "its attempt", "the word attempt"]
)
def test_what_was_half_sent_is_replaced(here: Platform, ended: Ended, attempt_of: Any, sent: Any, lacks: str):
    """What is not whole, or is not this attempt's, is not mixed with what lies in the folder now."""
    attempt_id = ended(T.STOPPED, {"weights": "new"})
    place = sent(attempt_id)
    manifest = beside(place, ".manifest.json")
    if lacks == "a whole file":
        here.storage.write(place / "other", b"o")
    elif "attempt" in lacks:
        before, after = (attempt_id, "tr-other-a1") if lacks == "its attempt" else ('"attempt"', '"other"')
        said = here.storage.read(manifest).replace(before.encode(), after.encode())
        here.storage.write(manifest, said)
        here.storage.write(beside(place, ".committed"), sha256(said).hexdigest().encode())
    else:
        gone = {"its marker": beside(place, ".committed"), "its manifest": manifest, "a file": place / "other"}
        here.storage.delete(gone[lacks])
    tidy(here)
    assert kept(attempt_of, attempt_id) == [str(place)]
    assert [entry.key for entry in here.storage.entries(place)] == ["weights"]


@pytest.mark.parametrize("to", [T.STOPPED, T.CREATE_IN_PROGRESS])
def test_what_was_committed_and_never_told_counts(
    here: Platform, ended: Ended, attempt_of: Any, sent: Any, to: TrainingState
):
    """A run that was killed between its marker and its word has kept a checkpoint; what came after it is the next."""
    attempt_id = ended(to, {"weights": "new"})
    place = sent(attempt_id)
    tidy(here)
    found = attempt_of(attempt_id).checkpoints
    assert (found[0].path, found[0].files, found[0].bytes) == (str(place), 1, 3)
    assert len(found) == (2 if to == T.STOPPED else 1)  # what may be torn is no checkpoint to go on from
    assert [entry.key for entry in here.storage.entries(place)] == ["other"]


def test_a_checkpoint_of_very_many_files_counts_too(
    here: Platform, ended: Ended, attempt_of: Any, sent: Any, monkeypatch: pytest.MonkeyPatch
):
    """Its manifest may be larger than what is read at once of any other file."""
    monkeypatch.setattr(checkpoint, "manifest_of", lambda *given: manifest_of(*given) + b" " * READ_LIMIT)
    attempt_id = ended(T.STOPPED, {"other": "old"})
    place = sent(attempt_id)
    tidy(here)
    assert kept(attempt_of, attempt_id) == [str(place)]


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_retry_goes_on_only_from_what_is_whole(here: Platform, ended: Ended, attempt_of: Any, is_whole: bool):
    """Where the training goes on, a checkpoint that may be torn is left out; one that the run had copied is kept."""
    attempt_id = ended(T.CREATE_IN_PROGRESS, {})
    folder = checkpoint_folder(here, attempt_id)
    (folder / "weights").write_text("new")
    if is_whole:
        folder.rename(folder.parent / "checkpoint-copy")
        shutil.copytree(folder.parent / "checkpoint-copy", folder)
    tidy(here)
    assert len(kept(attempt_of, attempt_id)) == is_whole


@pytest.mark.parametrize(("to", "files"), [(T.COMPLETE, {"weights": "x"}), (T.STOPPED, {})])
def test_nothing_to_keep(here: Platform, ended: Ended, attempt_of: Any, to: TrainingState, files: dict[str, str]):
    """A training that completed, and one that wrote nothing, have no more to keep."""
    attempt_id = ended(to, files)
    assert tidy(here) == [attempt_id]
    assert kept(attempt_of, attempt_id) == []


def test_one_that_cannot_be_kept_blocks_no_other(here: Platform, ended: Ended, monkeypatch: pytest.MonkeyPatch):
    """Its folder stays until its place is back; the others go. After an hour it is given up, and said so."""
    away, other, old = ended(T.STOPPED, {}), ended(T.STOPPED, {}), ended(T.STOPPED, {}, ago=3700)

    def salvage(_platform: Platform, attempt_id: str) -> None:
        if attempt_id != other:
            raise Temporary("the place is away")

    monkeypatch.setattr(tidying, "salvage", salvage)
    assert sorted(tidy(here)) == sorted([other, old])
    assert (here.settings.home / "work" / away).is_dir()
    assert "the place is away" in last_event(here, old)
    monkeypatch.undo()
    assert tidy(here) == [away]


def test_what_will_never_be_kept_is_given_up(here: Platform, ended: Ended, monkeypatch: pytest.MonkeyPatch):
    """A place that refuses is told of once, and the folder goes."""
    attempt_id = ended(T.STOPPED, {})

    def refuse(*_given: Any) -> None:
        raise Permanent("no such bucket")

    monkeypatch.setattr(tidying, "salvage", refuse)
    assert tidy(here) == [attempt_id]
    assert "no such bucket" in last_event(here, attempt_id)


def test_a_folder_that_a_script_closed_is_tidied(here: Platform, ended: Ended, attempt_of: Any, unprivileged: Any):
    """What may not be written, or not even be listed, is opened, kept and removed; what a link leads to is left."""
    attempt_id = ended(T.STOPPED, {"weights": "new"})
    folder, outside = checkpoint_folder(here, attempt_id), here.settings.home / "outside"
    closed = {folder / "written": 0o555, folder / "secret": 0o000, outside: 0o555}
    for inner in closed:
        inner.mkdir()
        (inner / "file").write_text("x")
    (folder / "link").symlink_to(outside)
    give_away(here.settings.home.parent)
    for inner, mode in closed.items():
        inner.chmod(mode)
    unprivileged()
    assert tidy(here) == [attempt_id]
    assert list((here.settings.home / "work").iterdir()) == []
    assert outside.stat().st_mode & 0o777 == 0o555
    assert [c.files for c in attempt_of(attempt_id).checkpoints] == [3]


def test_what_cannot_be_removed_is_told_once(here: Platform, ended: Ended, monkeypatch: pytest.MonkeyPatch):
    """What it holds is kept once, it is named to a person, and nothing is asked of any place again."""
    attempt_id = ended(T.STOPPED, {"weights": "new"})
    monkeypatch.setattr(tidying.shutil, "rmtree", lambda *_given, **_how: None)
    assert tidy(here) == [attempt_id]
    told = last_event(here, attempt_id)
    assert f"{attempt_id}.tidied by hand" in told
    monkeypatch.setattr(tidying, "salvage", lambda *_given: 1 / 0)
    assert tidy(here) == []
    assert last_event(here, attempt_id) == told
    monkeypatch.undo()
    tidy(here)
    assert list((here.settings.home / "work").iterdir()) == []


def test_a_disk_that_cannot_be_read_is_given_up_in_the_end(
    here: Platform, ended: Ended, monkeypatch: pytest.MonkeyPatch
):
    """A fault of the machine's own is tried again, and for no longer than a place that is away."""
    fresh, old = ended(T.STOPPED, {}), ended(T.STOPPED, {}, ago=3700)

    def fail(*_given: Any) -> None:
        raise OSError("Input/output error")

    monkeypatch.setattr(tidying, "salvage", fail)
    assert tidy(here) == [old]
    assert "Input/output error" in last_event(here, old)
    assert (here.settings.home / "work" / fresh).is_dir()


def give_away(root: Path) -> None:
    """Give a test's folders to the user that `unprivileged` becomes, and let it reach them."""
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
        for above in (one for one in root.parents if one.stat().st_mode & 0o055 != 0o055):
            above.chmod(0o755)


def last_event(here: Platform, attempt_id: str) -> str:
    with here.records.reading() as session:
        return trainings.events_of(session, "training", attempt_id.removesuffix("-a1"))[-1].message


@pytest.mark.parametrize(
    ("to", "state", "stays"),
    [
        (T.STOPPED, T.COMPLETE_IN_PROGRESS, False),
        (T.CREATE_IN_PROGRESS, T.COMPLETE_IN_PROGRESS, False),
        (T.COMPLETE, T.COMPLETE_IN_PROGRESS, True),
        (T.STOPPED, T.RUNNING, True),  # it never came to put a model there: its place is not even asked
    ],
)
def test_a_model_that_does_not_count_loses_its_marker(
    here: Platform, ended: Ended, places: Any, to: TrainingState, state: TrainingState, stays: bool
):
    """A run that was killed between the marker and its end leaves no model that looks valid."""
    attempt_id = ended(to, {}, state=state)
    marker = parse(f"{places['output_path']}/{attempt_id.removesuffix('-a1')}/model.json")
    here.storage.write(marker, b"{}")
    tidy(here)
    assert (here.storage.stat(marker) is not None) == stays


def test_a_model_outlives_the_deletion_of_its_training(here: Platform, ended: Ended, places: Any):
    """Deleting a training that completed removes nothing that it put out."""
    attempt_id = ended(T.COMPLETE, {}, state=T.COMPLETE_IN_PROGRESS)
    training_id = attempt_id.removesuffix("-a1")
    marker = parse(f"{places['output_path']}/{training_id}/model.json")
    here.storage.write(marker, b"{}")
    with here.records.writing() as session:
        trainings.begin_delete(session, trainings.find(session, training_id))
    assert tidy(here) == [attempt_id]
    assert here.storage.stat(marker) is not None


def test_a_stop_between_script_and_marker_leaves_no_model(here: Platform, ended: Ended, places: Any):
    """A script that ended well while its stop was on its way may have put a marker: it goes."""
    attempt_id = ended(T.STOPPED, {}, state=T.STOP_IN_PROGRESS)
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).evidence = {"cause": "exit", "exit_code": 0}
    marker = parse(f"{places['output_path']}/{attempt_id.removesuffix('-a1')}/model.json")
    here.storage.write(marker, b"{}")
    tidy(here)
    assert here.storage.stat(marker) is None


def test_a_later_attempts_model_is_its_own(here: Platform, ended: Ended, places: Any):
    """Only the last attempt's marker is withdrawn."""
    attempt_id = ended(T.CREATE_IN_PROGRESS, {}, state=T.COMPLETE_IN_PROGRESS)
    training_id = attempt_id.removesuffix("-a1")
    marker = parse(f"{places['output_path']}/{training_id}/model.json")
    here.storage.write(marker, b"{}")
    with here.records.writing() as session:
        verbs.grant(session, trainings.find(session, training_id), machine="", memory_bytes=1, gpus=[])
    assert tidy(here) == [attempt_id]
    assert here.storage.stat(marker) is not None


def test_what_still_runs_keeps_its_folder(here: Platform, ended: Ended, script: Any):
    """A script in its grace may still save there."""
    attempt_id = ended(T.STOPPED, {})
    process = script(attempt_id)
    assert tidy(here) == []
    process.kill()
    process.wait(10)
    assert tidy(here) == [attempt_id]


def test_only_one_tidies_at_a_time(here: Platform, ended: Ended):
    """What one keeps, another does not remove meanwhile."""
    attempt_id = ended(T.STOPPED, {})
    with (here.settings.home / "tidy.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert tidy(here) == []
    assert tidy(here) == [attempt_id]


@pytest.mark.parametrize(("state", "is_left"), [(T.COMPLETE, False), (T.FAIL_TRAIN, True), (T.STOPPED, True)])
def test_a_kept_model_goes_once_it_is_in_its_place(
    here: Platform, make: Callable[..., str], state: TrainingState, is_left: bool
):
    """Of a training that is COMPLETE; every other's is the only one that there is."""
    folder = here.settings.home / "kept" / make(state) / "model"
    folder.mkdir(parents=True)
    (here.settings.home / "work").mkdir()
    tidy(here)
    assert folder.is_dir() == is_left


def test_a_kept_model_goes_although_its_training_is_deleted(here: Platform, make: Callable[..., str]):
    """What has completed has, whatever a person does with it a second later."""
    training_id = make(T.COMPLETE)
    folder = here.settings.home / "kept" / training_id / "model"
    folder.mkdir(parents=True)
    (here.settings.home / "work").mkdir()
    with here.records.writing() as session:
        trainings.begin_delete(session, trainings.find(session, training_id))
    tidy(here)
    assert not folder.is_dir()
