"""What lies in the folders of a checkpoint, and its copy as one whole."""

import errno
import os
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.storage.errors import AccessDenied, NoSpace
from flows.training.checkpoints import snapshot as snapshots
from flows.training.checkpoints.snapshot import Part, look, look_at, signature, snapshot, written_at
from tests.flows.training.folders import FILES, content, fill


def test_a_snapshot_is_the_whole_folder(folder: Path, tmp_path: Path):
    """Every file with its bytes; what an earlier snapshot left is gone."""
    fill(folder)
    fill(tmp_path / "copy", {"old": b"old"})
    assert snapshot([Part(folder)], tmp_path / "copy") == look_at([Part(folder)])
    assert content(tmp_path / "copy") == FILES


@pytest.mark.parametrize("what", ["grows", "vanishes", "appears"])
def test_a_snapshot_of_what_moves_is_none(what: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that changes, goes or comes while it is copied: no snapshot, and no copy is left."""
    fill(folder)
    copy = snapshots.shutil.copy2

    def copying(source: Path, target: Path) -> None:
        """The script goes on while the first file is copied."""
        if what == "grows":
            source.write_bytes(source.read_bytes() + b"more")
        elif what == "appears":
            (folder / "new").write_bytes(b"new")
        else:
            source.unlink(missing_ok=True)
        copy(source, target)

    monkeypatch.setattr(snapshots.shutil, "copy2", copying)
    assert snapshot([Part(folder)], tmp_path / "copy") is None
    assert not (tmp_path / "copy").exists()


def test_a_signature_sees_every_change_of_a_file(folder: Path):
    """Another size, another time, a file more or less; not empty folders."""
    fill(folder, {"a": b"1", "deep/b": b"22"})
    first = signature(folder)
    assert set(first) == {"a", "deep/b"}
    os.utime(folder / "a", ns=(1, 1))
    assert signature(folder) != first
    (folder / "none").mkdir()
    assert set(signature(folder)) == {"a", "deep/b"}


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


def test_what_was_borrowed_is_anothers_as_long_as_it_is_as_it_came(folder: Path, tmp_path: Path):
    """Neither looked at nor copied; once the script has written it, it is its own."""
    fill(folder, {"theirs": b"1", "own": b"2"})
    borrowed = {name: state for name, state in signature(folder).items() if name == "theirs"}
    part = Part(folder, "instance-1/", borrowed)
    assert list(look_at([part]).files) == ["instance-1/own"]
    assert snapshot([part], tmp_path / "copy")
    assert content(tmp_path / "copy") == {"instance-1/own": b"2"}
    fill(folder, {"theirs": b"written"})
    assert list(look_at([part]).files) == ["instance-1/own", "instance-1/theirs"]


def test_several_folders_are_one_snapshot(folder: Path, tmp_path: Path):
    """Each part's files lie below its own name; one that moves spoils all."""
    other = tmp_path / "other"
    parts = [Part(fill(folder, {"a": b"0"}), "instance-0/"), Part(fill(other, {"a": b"1"}), "instance-1/")]
    assert snapshot(parts, tmp_path / "copy")
    assert content(tmp_path / "copy") == {"instance-0/a": b"0", "instance-1/a": b"1"}


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ({"a": -5}, -5),
        ({"a": -5, "b": -3}, -3),
        ({"a": -5, "kept": -1}, -5),  # it was there before
        ({"a": -60}, -10),  # a copy that has kept the time of what it was copied from
        ({"a": 10**9}, 0),
        ({}, -10),
    ],
)
def test_when_a_checkpoint_was_written(minutes: dict[str, int], expected: int):
    """The work that is lost with what comes after it counts from there; no file's odd time makes it longer or less."""
    moment = datetime.now(UTC)
    files = {name: (1, int((moment.timestamp() + at * 60) * 1e9)) for name, at in minutes.items()}
    kept = {"kept": files["kept"]} if "kept" in files else {}
    written = written_at(files, kept, moment - timedelta(minutes=10))
    assert abs(written - moment - timedelta(minutes=expected)) < timedelta(seconds=30)


def test_a_copy_for_which_there_is_no_room_is_not_begun(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that it would fill refuses the script's own saves meanwhile, and the records'."""
    fill(folder, {"a": b"1" * 95})
    monkeypatch.setattr(snapshots.shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(1000, 900, 100))
    with pytest.raises(NoSpace, match="95 bytes"):
        snapshot([Part(folder)], tmp_path / "copy")
    assert list(tmp_path.glob("copy*")) == []
    assert snapshot([Part(folder)], tmp_path / "copy", share=1.0)  # the scripts have ended
    fill(folder, {"a": b"2" * 250})
    with pytest.raises(NoSpace):
        snapshot([Part(folder)], tmp_path / "copy", share=1.0)
    assert content(tmp_path / "copy") == {"a": b"1" * 95}  # what is whole goes only for what can be


def test_a_copy_that_found_no_room_leaves_none_of_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Half of it would hold what others need."""
    fill(folder, {"a": b"1", "b": b"2"})
    copy = snapshots.shutil.copy2

    def full(source: Path, target: Path) -> None:
        if source.name == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(source, target)

    monkeypatch.setattr(snapshots.shutil, "copy2", full)
    with pytest.raises(OSError, match="No space left"):
        snapshot([Part(folder)], tmp_path / "copy")
    assert list(tmp_path.glob("copy*")) == []
