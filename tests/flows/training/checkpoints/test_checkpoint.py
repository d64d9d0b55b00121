"""Checkpoints: committed, fetched again, and verified."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from blocks.storage.errors import NotFound
from blocks.storage.location import Location, parse
from blocks.storage.storage import Storage
from blocks.storage.store import READ_LIMIT
from flows.training.checkpoints.checkpoint import Committed, Known, commit, fetch, fetch_committed, manifest_of
from flows.training.checkpoints.manifest import Damaged, Manifest, beside, files_of, read_manifest
from flows.training.checkpoints.provenance import Provenance
from flows.training.checkpoints.snapshot import Part, look
from tests.flows.training.folders import FILES, content, fill

TRAINING = "tr-0123456789ab"


@pytest.fixture
def place(there: Path) -> Location:
    return parse(f"file://{there}/checkpoint-1", 2048)


def kept(storage: Storage, folder: Path, place: Location, attempt_id: str, number: int) -> Committed:
    """Commit a folder as one instance's checkpoint."""
    return commit(storage, [Part(folder)], place, manifest_of([Part(folder)], place, attempt_id, number))


def test_links_inside_are_files_of_a_checkpoint(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """What they lead to is committed under their names too; one that leads away is named as left out."""
    fill(folder, {"a.pt": b"1", "deep/b": b"22"})
    (folder / "last.pt").symlink_to("a.pt")
    (folder / "linked").symlink_to(folder / "deep")
    (folder / "away").symlink_to("/etc/hostname")
    seen = look(folder)
    assert list(seen.files) == ["a.pt", "deep/b", "last.pt", "linked/b"]
    assert seen.left_out == ("away: a link that leaves the folder",)
    done = kept(storage, folder, place, "a", 1)
    assert (done.files, done.left_out) == (4, seen.left_out)
    assert [file.path for file in files_of(folder, place)] == list(seen.files)
    assert fetch(storage, str(place), tmp_path / "back").manifest
    assert content(tmp_path / "back") == {"a.pt": b"1", "last.pt": b"1", "deep/b": b"22", "linked/b": b"22"}


def test_a_checkpoint_of_very_many_files_comes_back(
    storage: Storage, place: Location, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its manifest may be larger than what is read at once of any other file."""
    to_json = Manifest.to_json
    monkeypatch.setattr(Manifest, "to_json", lambda self: to_json(self) + b" " * READ_LIMIT)
    kept(storage, fill(folder), place, "a", 1)
    assert fetch(storage, str(place), tmp_path / "back").manifest


def test_what_others_put_below_a_checkpoint_is_no_part_of_it(
    storage: Storage, place: Location, folder: Path, there: Path, tmp_path: Path
):
    """A training's folder, or any other file, that lies in a committed checkpoint is not handed over with it."""
    kept(storage, fill(folder), place, "a", 1)
    fill(there / "checkpoint-1", {f"{TRAINING}/attempt-1/checkpoint-1/model.pt": b"theirs", "new": b"new"})
    assert fetch(storage, str(place), tmp_path / "back").manifest
    assert content(tmp_path / "back") == FILES


def test_only_what_has_its_marker_is_a_checkpoint_of_ours(
    storage: Storage, place: Location, folder: Path, there: Path, tmp_path: Path
):
    """Files without it are never taken for what a training had saved."""
    kept(storage, fill(folder), place, "a", 1)
    (there / "checkpoint-1.committed").unlink()
    with pytest.raises(Damaged, match="has no marker"):
        fetch_committed(storage, str(place), tmp_path / "back")


def test_what_is_committed_comes_back(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """Sent, committed, fetched and verified, every file is what it was."""
    done = kept(storage, fill(folder), place, f"{TRAINING}-a1", 1)
    assert done == Committed(1, str(place), len(FILES), sum(map(len, FILES.values())))
    assert fetch(storage, str(place), tmp_path / "back").manifest
    assert content(tmp_path / "back") == FILES


def test_the_manifest_names_attempt_and_files(storage: Storage, place: Location, folder: Path):
    """Who wrote it, which it is, and each file with its size and sha256."""
    kept(storage, fill(folder, {"a": b"abc"}), place, f"{TRAINING}-a2", 7)
    manifest = json.loads(storage.read(beside(place, ".manifest.json")))
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest == {
        "attempt": f"{TRAINING}-a2",
        "number": 7,
        "instances": 1,
        "files": [{"path": "a", "size": 3, "sha256": digest}],
    }


def test_a_commit_can_be_repeated(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """Said again after a kill it ends in the same place, and is still whole."""
    fill(folder)
    assert kept(storage, folder, place, "a", 1) == kept(storage, folder, place, "a", 1)
    assert fetch(storage, str(place), tmp_path / "back").manifest


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda there: (there / "checkpoint-1/model.pt").unlink(), "lacks its file model.pt"),
        (lambda there: (there / "checkpoint-1/model.pt").write_bytes(b"x" * 5000), "model.pt"),
        (lambda there: (there / "checkpoint-1/model.pt").write_bytes(b"m" * 4999), "model.pt"),
        (lambda there: (there / "checkpoint-1/empty").write_bytes(b"!"), "empty"),
        (lambda there: (there / "checkpoint-1.manifest.json").write_text('{"files": []}'), "manifest"),
        (lambda there: (there / "checkpoint-1.committed").write_text("0" * 64), "manifest"),
    ],
)
def test_what_is_damaged_is_not_handed_over_as_whole(
    damage: Callable[[Path], object],
    said: str,
    storage: Storage,
    place: Location,
    folder: Path,
    there: Path,
    tmp_path: Path,
):
    """A file that is missing, differs or was cut, another manifest, another marker: each is named."""
    kept(storage, fill(folder), place, "a", 1)
    damage(there)
    with pytest.raises(Damaged, match=said):
        fetch(storage, str(place), tmp_path / "back")


def test_without_its_manifest_a_marker_is_worth_nothing(
    storage: Storage, place: Location, folder: Path, there: Path, tmp_path: Path
):
    """What cannot be verified is an error, never a folder as it is."""
    kept(storage, fill(folder), place, "a", 1)
    (there / "checkpoint-1.manifest.json").unlink()
    with pytest.raises(NotFound):
        fetch(storage, str(place), tmp_path / "back")


@pytest.mark.parametrize("lacks", ["files", "attempt", "sha256", "its end"])
def test_a_manifest_that_lacks_what_every_one_has_is_damaged(
    storage: Storage, place: Location, folder: Path, tmp_path: Path, lacks: str
):
    """Also where its marker fits: an error of ours says which checkpoint it is, and what is wrong."""
    said = manifest_of([Part(fill(folder))], place, "a", 1).to_json()
    said = said[:-9] if lacks == "its end" else said.replace(f'"{lacks}"'.encode(), b'"other"')
    storage.write(beside(place, ".manifest.json"), said)
    storage.write(beside(place, ".committed"), sha256(said).hexdigest().encode())
    with pytest.raises(Damaged, match=r"checkpoint-1 is not one: .+: "):
        fetch(storage, str(place), tmp_path / "back")


def test_what_is_half_written_is_not_verified(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """Files without a marker are what a person gave, and said to be that."""
    storage.upload(fill(folder), place)
    assert fetch(storage, str(place), tmp_path / "back").manifest is None
    assert content(tmp_path / "back") == FILES


def test_what_of_ours_lacks_its_marker_is_not_handed_over_at_all(
    storage: Storage, there: Path, folder: Path, tmp_path: Path
):
    """It was never committed, or its training is deleting it: half of it may be gone."""
    ours = parse(f"file://{there}/{TRAINING}/attempt-1/checkpoint-2")
    kept(storage, fill(folder), ours, "a", 2)
    assert fetch(storage, f"{ours}/", tmp_path / "back").manifest
    storage.delete(beside(ours, ".committed"))
    with pytest.raises(Damaged, match="never committed"):
        fetch(storage, f"{ours}/", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_persons_folder_is_handed_over_without_trainings(storage: Storage, there: Path, tmp_path: Path):
    """Trainings' own folders below it are left out; a file or folder that is only named like one is not."""
    theirs = {"model.pt": b"m", "tr-final.pt": b"f", "tr-best/x": b"x", "sub/tr-0123456789ab/y": b"y"}
    fill(there, theirs | {f"{TRAINING}/attempt-1/checkpoint-1/model.pt": b"ours"})
    assert fetch(storage, f"file://{there}", tmp_path / "back").manifest is None
    assert content(tmp_path / "back") == theirs


def test_a_whole_mount_may_be_a_checkpoint_path(there: Path, tmp_path: Path):
    """Beside a mount there is no marker; its files are handed over."""
    fill(there, {"model.pt": b"m"})
    assert fetch(Storage({}, {"nas-1": there}), "nas://nas-1:/", tmp_path / "back").manifest is None
    assert content(tmp_path / "back") == {"model.pt": b"m"}


def test_what_cannot_be_sent_is_not_promised(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """A file whose name no storage takes is named as left out, and the rest is a whole checkpoint."""
    fill(folder, {"model.pt": b"m", "a\nb": b"x", "half.emf-part": b"h"})
    done = kept(storage, folder, place, "a", 1)
    assert (done.files, len(done.left_out)) == (1, 1)
    assert done.left_out[0].startswith("a\nb: ")
    assert [file.path for file in files_of(folder, place)] == ["model.pt"]
    assert fetch(storage, str(place), tmp_path / "back").manifest


def test_the_manifest_tells_when_and_from_what_it_was_made(storage: Storage, place: Location, folder: Path):
    """Both come back as they were given."""
    made_from = Provenance(
        image="i", instances=1, hyperparameters={"a": "1"}, code={"x": "y"}, code_digest="d", data_sets={}
    )
    moment = datetime(2026, 11, 30, 12, tzinfo=UTC)
    parts = [Part(fill(folder))]
    commit(storage, parts, place, manifest_of(parts, place, "a", 1, taken_at=moment, made_from=made_from))
    manifest = read_manifest(storage, place)
    assert (manifest.taken_at, manifest.made_from) == (moment, made_from)


@pytest.fixture
def parts(tmp_path: Path) -> list[Part]:
    """Two instances' parts: a shard of each, and a file of one name."""
    return [
        Part(fill(tmp_path / f"part-{index}", {f"shard-{index}": b"%d" % index, "step": b"%d" % index, **more}), prefix)
        for index, (prefix, more) in enumerate([("instance-0/", {"deep/model": b"m"}), ("instance-1/", {})])
    ]


def test_each_instance_gets_its_own_part_and_what_only_others_have(
    storage: Storage, place: Location, parts: list[Part], tmp_path: Path
):
    """A file that one saved for all is there for all; of one name each has its own; which are others' is known."""
    commit(storage, parts, place, manifest_of(parts, place, "a", 1, instances=2))
    first = fetch(storage, str(place), tmp_path / "0", 0)
    second = fetch(storage, str(place), tmp_path / "1", 1)
    whole = {"shard-0": b"0", "shard-1": b"1", "deep/model": b"m"}
    assert content(tmp_path / "0") == whole | {"step": b"0"}
    assert content(tmp_path / "1") == whole | {"step": b"1"}
    assert first.borrowed == {"shard-1"}
    assert second.borrowed == {"shard-0", "deep/model"}


def test_of_several_parts_each_is_verified(storage: Storage, place: Location, parts: list[Part], there: Path, tmp_path):
    """What is damaged in one is told to whoever is handed that."""
    commit(storage, parts, place, manifest_of(parts, place, "a", 1, instances=2))
    (there / "checkpoint-1" / "instance-0" / "deep" / "model").write_bytes(b"x")
    with pytest.raises(Damaged, match="instance-0/deep/model"):
        fetch(storage, str(place), tmp_path / "1", 1)


def test_more_or_fewer_instances_go_on_from_the_same(storage: Storage, place: Location, parts: list[Part], tmp_path):
    """One that had no part then gets all files, of one name the first's."""
    commit(storage, parts, place, manifest_of(parts, place, "a", 1, instances=2))
    fetch(storage, str(place), tmp_path / "back", 7)
    assert content(tmp_path / "back") == {"shard-0": b"0", "shard-1": b"1", "deep/model": b"m", "step": b"0"}


def test_a_commit_that_copies_what_is_there_is_whole(
    storage: Storage, place: Location, parts: list[Part], there: Path, tmp_path: Path
):
    """Killed and said again, with some files copied already, it is what its manifest says."""
    manifest = manifest_of(parts, place, "a", 1, instances=2)
    commit(storage, parts, place, manifest)
    later = parse(f"file://{there}/checkpoint-2", 2048)
    fill(parts[0].folder, {"step": b"newer"})
    again = manifest_of(parts, later, "a", 2, instances=2)
    for _ in range(2):
        done = commit(storage, parts, later, again, Known(place, manifest))
    assert done.unchanged == manifest.size - 1
    assert fetch(storage, str(later), tmp_path / "back").manifest == again
    assert (tmp_path / "back" / "step").read_bytes() == b"newer"
