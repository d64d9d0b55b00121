"""Checkpoints: committed, fetched again, and verified."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from blocks.storage.errors import AccessDenied, NotFound
from blocks.storage.location import Location, parse
from blocks.storage.storage import Storage
from blocks.storage.store import READ_LIMIT
from flows.training import checkpoint
from flows.training.checkpoint import (
    Committed,
    Damaged,
    beside,
    commit,
    fetch,
    fetch_committed,
    files_of,
    look,
    manifest_of,
    signature,
)
from tests.flows.training.folders import FILES, content, fill

TRAINING = "tr-0123456789ab"


@pytest.fixture
def place(there: Path) -> Location:
    return parse(f"file://{there}/checkpoint-1", 2048)


def test_a_signature_sees_every_change_of_a_file(folder: Path):
    """Another size, another time, a file more or less; not empty folders."""
    fill(folder, {"a": b"1", "deep/b": b"22"})
    first = signature(folder)
    assert set(first) == {"a", "deep/b"}
    os.utime(folder / "a", ns=(1, 1))
    assert signature(folder) != first
    (folder / "none").mkdir()
    assert set(signature(folder)) == {"a", "deep/b"}


def test_links_inside_are_files_of_a_checkpoint(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """What they lead to is committed under their names too; one that leads away is named as left out."""
    fill(folder, {"a.pt": b"1", "deep/b": b"22"})
    (folder / "last.pt").symlink_to("a.pt")
    (folder / "linked").symlink_to(folder / "deep")
    (folder / "away").symlink_to("/etc/hostname")
    seen = look(folder)
    assert list(seen.files) == ["a.pt", "deep/b", "last.pt", "linked/b"]
    assert seen.left_out == ("away: a link that leaves the folder",)
    done = commit(storage, folder, place, "a", 1)
    assert (done.files, done.left_out) == (4, seen.left_out)
    assert [file.path for file in files_of(folder, place)] == list(seen.files)
    assert fetch(storage, str(place), tmp_path / "back")
    assert content(tmp_path / "back") == {"a.pt": b"1", "last.pt": b"1", "deep/b": b"22", "linked/b": b"22"}


def test_a_folder_that_cannot_be_listed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """It is never passed over in silence: what lies in it would be missing when the training goes on."""
    fill(folder, {"a": b"1", "closed/b": b"2"})
    scandir = os.scandir

    def denied(path: Path) -> object:
        if path == folder / "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(AccessDenied, match="closed"):
        look(folder)


def test_a_checkpoint_of_very_many_files_comes_back(
    storage: Storage, place: Location, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its manifest may be larger than what is read at once of any other file."""
    monkeypatch.setattr(checkpoint, "manifest_of", lambda *given: manifest_of(*given) + b" " * READ_LIMIT)
    commit(storage, fill(folder), place, "a", 1)
    assert fetch(storage, str(place), tmp_path / "back")


def test_what_others_put_below_a_checkpoint_is_no_part_of_it(
    storage: Storage, place: Location, folder: Path, there: Path, tmp_path: Path
):
    """A training's folder, or any other file, that lies in a committed checkpoint is not handed over with it."""
    commit(storage, fill(folder), place, "a", 1)
    fill(there / "checkpoint-1", {f"{TRAINING}/attempt-1/checkpoint-1/model.pt": b"theirs", "new": b"new"})
    assert fetch(storage, str(place), tmp_path / "back")
    assert content(tmp_path / "back") == FILES


def test_only_what_has_its_marker_is_a_checkpoint_of_ours(
    storage: Storage, place: Location, folder: Path, there: Path, tmp_path: Path
):
    """Files without it are never taken for what a training had saved."""
    commit(storage, fill(folder), place, "a", 1)
    (there / "checkpoint-1.committed").unlink()
    with pytest.raises(Damaged, match="has no marker"):
        fetch_committed(storage, str(place), tmp_path / "back")


def test_folders_that_come_and_go_are_no_error(folder: Path):
    """A script that writes to a folder and renames it, as most frameworks do, never makes the look fail."""
    over = threading.Event()

    def churn() -> None:
        number = 0
        while not over.is_set():
            number += 1
            fill(folder / "tmp", {f"d{n}/f": b"x" for n in range(5)})
            (folder / "tmp").rename(folder / f"step-{number}")
            for n in range(5):
                (folder / f"step-{number}" / f"d{n}" / "f").unlink()
                (folder / f"step-{number}" / f"d{n}").rmdir()
            (folder / f"step-{number}").rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            signature(folder)
    finally:
        over.set()
        thread.join()


def test_what_is_committed_comes_back(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """Sent, committed, fetched and verified, every file is what it was."""
    done = commit(storage, fill(folder), place, f"{TRAINING}-a1", 1)
    assert done == Committed(1, str(place), len(FILES), sum(map(len, FILES.values())))
    assert fetch(storage, str(place), tmp_path / "back")
    assert content(tmp_path / "back") == FILES


def test_the_manifest_names_attempt_and_files(storage: Storage, place: Location, folder: Path):
    """Who wrote it, which it is, and each file with its size and sha256."""
    commit(storage, fill(folder, {"a": b"abc"}), place, f"{TRAINING}-a2", 7)
    manifest = json.loads(storage.read(beside(place, ".manifest.json")))
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest == {
        "attempt": f"{TRAINING}-a2",
        "number": 7,
        "files": [{"path": "a", "size": 3, "sha256": digest}],
    }


def test_a_commit_can_be_repeated(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """Said again after a kill it ends in the same place, and is still whole."""
    fill(folder)
    assert commit(storage, folder, place, "a", 1) == commit(storage, folder, place, "a", 1)
    assert fetch(storage, str(place), tmp_path / "back")


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
    commit(storage, fill(folder), place, "a", 1)
    damage(there)
    with pytest.raises(Damaged, match=said):
        fetch(storage, str(place), tmp_path / "back")


def test_without_its_manifest_a_marker_is_worth_nothing(
    storage: Storage, place: Location, folder: Path, there: Path, tmp_path: Path
):
    """What cannot be verified is an error, never a folder as it is."""
    commit(storage, fill(folder), place, "a", 1)
    (there / "checkpoint-1.manifest.json").unlink()
    with pytest.raises(NotFound):
        fetch(storage, str(place), tmp_path / "back")


@pytest.mark.parametrize("lacks", ["files", "attempt", "sha256", "its end"])
def test_a_manifest_that_lacks_what_every_one_has_is_damaged(
    storage: Storage, place: Location, folder: Path, tmp_path: Path, lacks: str
):
    """Also where its marker fits: an error of ours says which checkpoint it is, and what is wrong."""
    said = manifest_of(fill(folder), place, "a", 1)
    said = said[:-9] if lacks == "its end" else said.replace(f'"{lacks}"'.encode(), b'"other"')
    storage.write(beside(place, ".manifest.json"), said)
    storage.write(beside(place, ".committed"), sha256(said).hexdigest().encode())
    with pytest.raises(Damaged, match=r"checkpoint-1 is not one: .+: "):
        fetch(storage, str(place), tmp_path / "back")


def test_what_is_half_written_is_not_verified(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """Files without a marker are what a person gave, and said to be that."""
    storage.upload(fill(folder), place)
    assert not fetch(storage, str(place), tmp_path / "back")
    assert content(tmp_path / "back") == FILES


def test_a_persons_folder_is_handed_over_without_trainings(storage: Storage, there: Path, tmp_path: Path):
    """Trainings' own folders below it are left out; a file or folder that is only named like one is not."""
    theirs = {"model.pt": b"m", "tr-final.pt": b"f", "tr-best/x": b"x", "sub/tr-0123456789ab/y": b"y"}
    fill(there, theirs | {f"{TRAINING}/attempt-1/checkpoint-1/model.pt": b"ours"})
    assert not fetch(storage, f"file://{there}", tmp_path / "back")
    assert content(tmp_path / "back") == theirs


def test_a_whole_mount_may_be_a_checkpoint_path(there: Path, tmp_path: Path):
    """Beside a mount there is no marker; its files are handed over."""
    fill(there, {"model.pt": b"m"})
    assert not fetch(Storage({}, {"nas-1": there}), "nas://nas-1:/", tmp_path / "back")
    assert content(tmp_path / "back") == {"model.pt": b"m"}


def test_what_cannot_be_sent_is_not_promised(storage: Storage, place: Location, folder: Path, tmp_path: Path):
    """A file whose name no storage takes is named as left out, and the rest is a whole checkpoint."""
    fill(folder, {"model.pt": b"m", "a\nb": b"x", "half.emf-part": b"h"})
    done = commit(storage, folder, place, "a", 1)
    assert (done.files, len(done.left_out)) == (1, 1)
    assert done.left_out[0].startswith("a\nb: ")
    assert [file.path for file in files_of(folder, place)] == ["model.pt"]
    assert fetch(storage, str(place), tmp_path / "back")
