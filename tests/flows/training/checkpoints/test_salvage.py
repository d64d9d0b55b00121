"""What a run that was killed could not do: keep its last checkpoint, withdraw a marker that never counted."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import checkpoints, trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from blocks.storage.errors import Unreachable
from blocks.storage.location import Location, parse
from blocks.storage.storage import Storage
from blocks.storage.store import READ_LIMIT
from flows.training import whole
from flows.training.assignment import work_folder
from flows.training.checkpoints import salvage as salvaging
from flows.training.checkpoints.checkpoint import Committed, commit, manifest_of
from flows.training.checkpoints.keeper import Keeper, Kept
from flows.training.checkpoints.manifest import Manifest, beside, read_manifest
from flows.training.checkpoints.salvage import salvage, withdraw_model
from flows.training.checkpoints.snapshot import Part, signature
from flows.training.checkpoints.start import Start, copy_folder
from tests.flows.conftest import checkpoint_folder
from tests.flows.training.folders import content, fill

T = TrainingState
Ended = Callable[..., str]


def keep(here: Platform, folder: Path, place: Location, attempt_id: str, number: int) -> Committed:
    """Commit a folder as a run does."""
    parts = [Part(folder)]
    return commit(here.storage, parts, place, manifest_of(parts, place, attempt_id, number))


def kept(attempt_of: Any, attempt_id: str) -> list[str]:
    return [c.path for c in attempt_of(attempt_id).checkpoints]


def test_what_a_killed_run_could_not_send_is_kept(here: Platform, ended: Ended, attempt_of: Any, places: Any):
    """A checkpoint that was written in the last seconds of a cancelled run is committed; then its folder goes."""
    attempt_id = ended(T.STOPPED, {"weights": "new"})
    salvage(here, attempt_id)
    training_id = attempt_id.removesuffix("-a1")
    path = f"{places['checkpoint_path']}/{training_id}/attempt-1/checkpoint-1"
    assert kept(attempt_of, attempt_id) == [path]
    assert here.storage.read(parse(f"{path}/weights")) == b"new"
    assert here.storage.read(parse(f"{path}.committed"))


def test_what_was_sent_already_is_not_sent_again(here: Platform, ended: Ended, attempt_of: Any, places: Any):
    """The folder's state is its training's last checkpoint: nothing is added. One that differs is the next number."""
    attempt_id = ended(T.STOPPED, {"weights": "same"})
    training_id, folder = attempt_id.removesuffix("-a1"), checkpoint_folder(here, attempt_id)
    place = parse(f"{places['checkpoint_path']}/{training_id}/attempt-1/checkpoint-4")
    done = keep(here, folder, place, attempt_id, 4)
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        checkpoints.committed(session, attempt, 4, done.path, files=done.files, size=done.bytes, keep=3)
    salvage(here, attempt_id)
    assert kept(attempt_of, attempt_id) == [str(place)]
    (folder / "weights").write_text("newer")
    salvage(here, attempt_id)
    assert [path.rpartition("-")[2] for path in kept(attempt_of, attempt_id)] == ["4", "5"]


@pytest.mark.parametrize(
    ("told", "text", "count"),
    [((1, 2, 3), "newer", 4), ((2, 3, 4), "4", 3), ((1, 2), "newer", 3)],  # what may be torn comes beside the three
)
def test_no_more_files_are_kept_than_the_records_tell_of(
    here: Platform,
    ended: Ended,
    attempt_of: Any,
    places: Any,
    tmp_path: Path,
    told: tuple[int, ...],
    text: str,
    count: int,
):
    """What one more pushes out is deleted, also what a run that was killed had pushed out and not deleted yet."""
    attempt_id = ended(T.STOPPED, {"weights": text})
    root = f"{places['checkpoint_path']}/{attempt_id.removesuffix('-a1')}/attempt-1"
    (tmp_path / "before").mkdir()
    for number in range(1, told[-1] + 1):
        (tmp_path / "before" / "weights").write_text(str(number))
        place = parse(f"{root}/checkpoint-{number}")
        done = keep(here, tmp_path / "before", place, attempt_id, number)
        if number in told:
            with here.records.writing() as session:
                attempt = session.get(Attempt, attempt_id)
                checkpoints.committed(session, attempt, number, done.path, files=1, size=done.bytes, keep=3)
    salvage(here, attempt_id)
    there = {path.name.partition(".")[0] for path in Path(root.removeprefix("file://")).iterdir()}
    assert there == {path.rpartition("/")[2] for path in kept(attempt_of, attempt_id)}
    assert len(there) == count


@pytest.fixture
def sent(here: Platform, places: Any, tmp_path: Path) -> Callable[[str], Location]:
    """Commit another checkpoint of an attempt than lies in its folder, as a run that was killed before it told."""

    def go(attempt_id: str) -> Location:
        (tmp_path / "older").mkdir()
        (tmp_path / "older" / "other").write_text("old")
        root = f"{places['checkpoint_path']}/{attempt_id.removesuffix('-a1')}/attempt-1"
        place = parse(f"{root}/checkpoint-1")
        keep(here, tmp_path / "older", place, attempt_id, 1)
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
    salvage(here, attempt_id)
    assert kept(attempt_of, attempt_id) == [str(place)]
    assert [entry.key for entry in here.storage.entries(place)] == ["weights"]


@pytest.mark.parametrize("to", [T.STOPPED, T.CREATE_IN_PROGRESS])
def test_what_was_committed_and_never_told_counts(
    here: Platform, ended: Ended, attempt_of: Any, sent: Any, to: TrainingState
):
    """A run that was killed between its marker and its word has kept a checkpoint; what came after it is the next."""
    attempt_id = ended(to, {"weights": "new"})
    place = sent(attempt_id)
    salvage(here, attempt_id)
    found = attempt_of(attempt_id).checkpoints
    assert (found[0].path, found[0].files, found[0].bytes) == (str(place), 1, 3)
    assert len(found) == (2 if to == T.STOPPED else 1)  # what may be torn is no checkpoint to go on from
    assert [entry.key for entry in here.storage.entries(place)] == ["other"]


def test_a_checkpoint_of_very_many_files_counts_too(
    here: Platform, ended: Ended, attempt_of: Any, sent: Any, monkeypatch: pytest.MonkeyPatch
):
    """Its manifest may be larger than what is read at once of any other file."""
    to_json = Manifest.to_json
    monkeypatch.setattr(Manifest, "to_json", lambda self: to_json(self) + b" " * READ_LIMIT)
    attempt_id = ended(T.STOPPED, {"other": "old"})
    place = sent(attempt_id)
    salvage(here, attempt_id)
    assert kept(attempt_of, attempt_id) == [str(place)]


def copied(here: Platform, attempt_id: str, files: dict[str, bytes]) -> None:
    """Leave these as what a run had copied as one whole to send it."""
    fill(copy_folder(work_folder(here.settings.home, attempt_id)), files)


def contents(here: Platform, paths: list[str]) -> list[dict[str, bytes]]:
    return [content(Path(path.removeprefix("file://"))) for path in paths]


def test_a_retry_goes_on_only_from_what_is_whole(here: Platform, ended: Ended, attempt_of: Any):
    """Where the training goes on, what the run had copied is kept; what lies in the script's folder may be torn."""
    attempt_id = ended(T.CREATE_IN_PROGRESS, {"weights": "torn"})
    salvage(here, attempt_id)
    assert kept(attempt_of, attempt_id) == []
    copied(here, attempt_id, {"weights": b"whole"})
    salvage(here, attempt_id)
    assert contents(here, kept(attempt_of, attempt_id)) == [{"weights": b"whole"}]


def test_a_copy_that_was_being_removed_is_no_checkpoint(
    here: Platform, ended: Ended, attempt_of: Any, places: Any, monkeypatch: pytest.MonkeyPatch
):
    """A run that is killed while it removes what it has committed leaves nothing to go on from that lacks a file."""
    attempt_id = ended(T.CREATE_IN_PROGRESS, {"weights": "w", "optimizer": "o"})
    told: list[Committed] = []
    root = f"{places['checkpoint_path']}/{attempt_id.removesuffix('-a1')}/attempt-1"
    copy = copy_folder(work_folder(here.settings.home, attempt_id))
    keeper = Keeper(
        here.storage, [Part(checkpoint_folder(here, attempt_id))], copy, Kept(attempt_id, root, 3), told.append
    )
    fill(checkpoint_folder(here, attempt_id), {"weights": b"new"})

    def killed(folder: Path, ignore_errors: bool = False) -> None:
        if (folder / "weights").exists():
            (folder / "weights").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(whole.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        keeper.finish()
    monkeypatch.undo()
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        checkpoints.committed(session, attempt, 1, told[0].path, files=2, size=told[0].bytes, keep=3)
    salvage(here, attempt_id)
    assert kept(attempt_of, attempt_id) == [f"{root}/checkpoint-1"]


def test_a_training_may_write_to_a_whole_mount(here: Platform, ended: Ended, attempt_of: Any, tmp_path: Path):
    """What a killed run left is kept there as anywhere."""
    (tmp_path / "mount").mkdir()
    (here.settings.home / "settings.yaml").write_text(yaml.safe_dump({"nas": {"nas-1": str(tmp_path / "mount")}}))
    attempt_id = ended(T.STOPPED, {"weights": "new"}, checkpoint_path="nas://nas-1:/")
    salvage(here.afresh(), attempt_id)
    path = f"nas://nas-1:/{attempt_id.removesuffix('-a1')}/attempt-1/checkpoint-1"
    assert kept(attempt_of, attempt_id) == [path]


def test_where_nobody_goes_on_both_are_kept(here: Platform, ended: Ended, attempt_of: Any):
    """What was whole comes first, then what the script wrote last: a person sees which is of use."""
    attempt_id = ended(T.STOPPED, {"weights": "last"})
    copied(here, attempt_id, {"weights": b"whole"})
    salvage(here, attempt_id)
    assert contents(here, kept(attempt_of, attempt_id)) == [{"weights": b"whole"}, {"weights": b"last"}]


def test_of_several_instances_all_parts_are_kept(here: Platform, ended: Ended, attempt_of: Any):
    """Each in its place, under one manifest; what one had borrowed from another is that one's alone."""
    attempt_id = ended(T.STOPPED, {"weights": "0"}, instance_count=2)
    second = work_folder(here.settings.home, attempt_id) / "instance-1"
    fill(second / "checkpoint", {"weights": b"0", "rng": b"1"})
    borrowed = {name: state for name, state in signature(second / "checkpoint").items() if name == "weights"}
    Start(borrowed=dict(borrowed)).write(second)
    salvage(here, attempt_id)
    paths = kept(attempt_of, attempt_id)
    assert contents(here, paths) == [{"instance-0/weights": b"0", "instance-1/rng": b"1"}]
    assert read_manifest(here.storage, parse(paths[0])).instances == 2


def test_when_it_was_written_is_known(here: Platform, ended: Ended, attempt_of: Any):
    """The work that is lost counts from there, and not from when it was found."""
    attempt_id, written = ended(T.STOPPED, {"weights": "x"}), now() - timedelta(hours=1)
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).granted_at = now() - timedelta(days=1)
    os.utime(checkpoint_folder(here, attempt_id) / "weights", (written.timestamp(),) * 2)
    salvage(here, attempt_id)
    assert abs(attempt_of(attempt_id).checkpoints[0].taken_at - written) < timedelta(milliseconds=1)


def test_what_earlier_attempts_left_and_the_records_hold_no_more_goes(
    here: Platform, ended: Ended, attempt_of: Any, places: Any, tmp_path: Path
):
    """Deleted from the records as newer ones came, by a run that was killed before it deleted the files."""
    attempt_id = ended(T.CREATE_IN_PROGRESS, {})
    root = f"{places['checkpoint_path']}/{attempt_id.removesuffix('-a1')}"
    for path in ("attempt-1/checkpoint-7", "attempt-2/checkpoint-1"):
        keep(here, fill(tmp_path / "x"), parse(f"{root}/{path}"), attempt_id, 7)
    copied(here, attempt_id, {"weights": b"whole"})
    salvage(here, attempt_id)
    there = sorted(path.name for path in Path(root.removeprefix("file://")).glob("*/*.committed"))
    # The second attempt may run by now: what it has is its own.
    assert there == ["checkpoint-1.committed", "checkpoint-1.committed"]
    assert len(kept(attempt_of, attempt_id)) == 1


@pytest.mark.parametrize(("to", "is_told"), [(T.CREATE_IN_PROGRESS, False), (T.STOPPED, True)])
def test_what_cannot_be_deleted_holds_up_no_next_attempt(
    here: Platform,
    ended: Ended,
    attempt_of: Any,
    places: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: TrainingState,
    is_told: bool,
):
    """A later salvage deletes that as well; of a training that is over there is none: it is tried again."""
    attempt_id = ended(to, {})
    root = f"{places['checkpoint_path']}/{attempt_id.removesuffix('-a1')}"
    keep(here, fill(tmp_path / "x"), parse(f"{root}/attempt-1/checkpoint-7"), attempt_id, 7)
    copied(here, attempt_id, {"weights": b"whole"})

    def refuse(storage: Storage, path: Location) -> None:
        if str(path).endswith("-7"):
            raise Unreachable("Its clock was set back.")

    monkeypatch.setattr(salvaging, "forget", refuse)
    with pytest.raises(Unreachable) if is_told else nullcontext():
        salvage(here, attempt_id)
    assert contents(here, kept(attempt_of, attempt_id)) == [{"weights": b"whole"}]


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
    withdraw_model(here, attempt_id)
    assert (here.storage.stat(marker) is not None) == stays


def test_a_model_outlives_the_deletion_of_its_training(here: Platform, ended: Ended, places: Any):
    """Deleting a training that completed removes nothing that it put out."""
    attempt_id = ended(T.COMPLETE, {}, state=T.COMPLETE_IN_PROGRESS)
    training_id = attempt_id.removesuffix("-a1")
    marker = parse(f"{places['output_path']}/{training_id}/model.json")
    here.storage.write(marker, b"{}")
    with here.records.writing() as session:
        trainings.begin_delete(session, trainings.find(session, training_id))
    withdraw_model(here, attempt_id)
    assert here.storage.stat(marker) is not None


def test_a_stop_between_script_and_marker_leaves_no_model(here: Platform, ended: Ended, places: Any):
    """A script that ended well while its stop was on its way may have put a marker: it goes."""
    attempt_id = ended(T.STOPPED, {}, state=T.STOP_IN_PROGRESS)
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).evidence = {"cause": "exit", "exit_code": 0}
    marker = parse(f"{places['output_path']}/{attempt_id.removesuffix('-a1')}/model.json")
    here.storage.write(marker, b"{}")
    withdraw_model(here, attempt_id)
    assert here.storage.stat(marker) is None


def test_a_later_attempts_model_is_its_own(here: Platform, ended: Ended, places: Any):
    """Only the last attempt's marker is withdrawn."""
    attempt_id = ended(T.CREATE_IN_PROGRESS, {}, state=T.COMPLETE_IN_PROGRESS)
    training_id = attempt_id.removesuffix("-a1")
    marker = parse(f"{places['output_path']}/{training_id}/model.json")
    here.storage.write(marker, b"{}")
    with here.records.writing() as session:
        verbs.grant(session, trainings.find(session, training_id), machine="", memory_bytes=1, gpus=[])
    withdraw_model(here, attempt_id)
    assert here.storage.stat(marker) is not None


def test_what_may_be_torn_pushes_out_no_other(here: Platform, ended: Ended, attempt_of: Any):
    """Of a training that keeps one checkpoint the one that was whole stays beside what its script wrote last."""
    attempt_id = ended(T.STOPPED, {"weights": "torn"}, checkpoints_kept=1)
    copied(here, attempt_id, {"weights": b"whole"})
    salvage(here, attempt_id)
    assert contents(here, kept(attempt_of, attempt_id)) == [{"weights": b"whole"}, {"weights": b"torn"}]


def test_what_a_later_attempt_may_go_on_from_stays(
    here: Platform, ended: Ended, attempt_of: Any, places: Any, tmp_path: Path
):
    """A salvage that took long deletes nothing beside an attempt that has begun meanwhile."""
    attempt_id = ended(T.CREATE_IN_PROGRESS, {}, checkpoints_kept=1)
    place = parse(f"{places['checkpoint_path']}/{attempt_id.removesuffix('-a1')}/attempt-1/checkpoint-1")
    keep(here, fill(tmp_path / "x"), place, attempt_id, 1)
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        checkpoints.committed(session, attempt, 1, str(place), files=1, size=1, keep=1)
        verbs.grant(session, attempt.training, machine="", memory_bytes=1, gpus=[])
    copied(here, attempt_id, {"weights": b"whole"})
    salvage(here, attempt_id)
    assert len(kept(attempt_of, attempt_id)) == 2
    assert here.storage.stat(parse(f"{place}.committed")) is not None
