"""What an instance needs comes in."""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blocks.catalogue.catalogue import GIB
from blocks.records.words import Wish
from blocks.storage.errors import NoSpace
from blocks.storage.location import Location, parse
from blocks.storage.store import Entry
from flows.training.ends.verdict import Cause
from flows.training.instances import staging
from flows.training.instances.instance import Instance, Interrupted, StepFailed
from flows.training.instances.job import cores
from flows.training.instances.staging import stage_in
from tests.flows.training.disks import full_disk
from tests.flows.training.folders import silent, texts

Made = Callable[..., Instance]
OTHER = "tr-0123456789ab"


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


def test_small_files_have_a_size(instance: Made, monkeypatch: pytest.MonkeyPatch):
    """The log tells what came in to the byte where it is few."""
    one, said = instance(), list[str]()
    monkeypatch.setattr(one.log, "say", said.append)
    stage_in(one, silent)
    assert "staged in the data set digits: 1 file(s), 6 B" in said


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
    with pytest.raises(StepFailed, match=r"more than the data storage of 1 GB: digits 2\.0 GB"):
        stage_in(one, silent)
    assert not one.folders.data_sets["digits"].exists()


def test_all_data_sets_together_must_fit(instance: Made, root: Path):
    """Each alone would; nothing of them is copied."""
    for name in ("a", "b"):
        (root / name).mkdir()
        with (root / name / "sparse").open("wb") as file:
            file.truncate(2 * GIB // 3)
    data_sets = [{"name": name, "path": f"file://{root}/{name}"} for name in ("a", "b")]
    one = instance(data_storage_gb=1, data_sets=data_sets)
    with pytest.raises(StepFailed, match=r"storage of 1 GB: a 0\.7 GB, b 0\.7 GB") as caught:
        stage_in(one, silent)
    assert caught.value.cause == Cause.DATA
    assert not any(folder.exists() for folder in one.folders.data_sets.values())


def test_a_full_disk_is_waited_for(instance: Made, monkeypatch: pytest.MonkeyPatch):
    """Another's copy may go; the progress says how much is free and needed, and half a copy leaves its room."""
    one, told = instance(), list[str]()
    download, folder = one.storage.download, one.folders.data_sets["digits"]

    def full(place: Location, into: Path, *rest: Any) -> Any:
        if into == folder and len(told) < 2:
            (into / "half").write_text("half")
            raise NoSpace("700 bytes do not fit.")
        assert texts(into) == {}
        return download(place, into, *rest)

    def pause(_seconds: float) -> None:
        told.append(one.door.progress)
        assert texts(folder) == {}

    monkeypatch.setattr(one.storage, "download", full)
    monkeypatch.setattr(one, "pause", pause)
    stage_in(one, silent)
    assert texts(folder) == {"digits.csv": "1,2,3\n"}
    assert len(told) == 2
    assert "disk has no room for the data set digits: " in told[0]
    assert told[0].endswith("GB are free. 700 bytes do not fit.")


def test_a_disk_that_stays_full_is_no_fault_of_the_data(instance: Made, monkeypatch: pytest.MonkeyPatch):
    """The attempt ends as STORAGE, which is tried again."""
    one = instance()

    def full(*_: Any) -> None:
        raise NoSpace("700 bytes do not fit.")

    monkeypatch.setattr(one.storage, "download", full)
    monkeypatch.setattr(staging, "STAGING_IN", replace(staging.STAGING_IN, seconds=0))
    with pytest.raises(StepFailed, match="no room for the code") as caught:
        stage_in(one, silent)
    assert caught.value.cause == Cause.STORAGE


def test_a_disk_without_room_for_the_folders_is_waited_for(instance: Made, monkeypatch: pytest.MonkeyPatch):
    """As it is for what is copied into them; where it stays full the attempt ends as STORAGE."""
    one, told = instance(), list[str]()
    with full_disk(one.root.parent.parent) as free:

        def pause(_seconds: float) -> None:
            told.append(one.door.progress)
            free()

        monkeypatch.setattr(one, "pause", pause)
        with monkeypatch.context() as patch, pytest.raises(StepFailed, match="No space left on device") as caught:
            patch.setattr(staging, "OWN_DISK", replace(staging.OWN_DISK, seconds=0))
            stage_in(one, silent)
        stage_in(one, silent)
        assert list(texts(one.folders.source)) == ["train.py"]
    assert caught.value.cause == Cause.STORAGE
    assert len(told) == 1
    assert "No space left on device" in told[0]


def test_folders_that_cannot_be_made_are_no_fault_of_the_data(instance: Made):
    """The platform's own place is not what its user can correct."""
    one = instance()
    one.root.parent.parent.mkdir(parents=True, exist_ok=True)
    one.root.parent.write_text("a file where the attempt's folder should be")
    with pytest.raises(StepFailed) as caught:
        stage_in(one, silent)
    assert caught.value.cause == Cause.PLATFORM


def test_a_mounted_data_set_needs_room_for_its_link(instance: Made, root: Path, monkeypatch: pytest.MonkeyPatch):
    """Where there is none that is STORAGE too."""
    one = instance()
    stage_in(one, silent)
    digits = one.folders.data_sets["digits"]
    monkeypatch.setattr(one.storage, "mounted", lambda _place: root / "data")
    monkeypatch.setattr(staging, "OWN_DISK", replace(staging.OWN_DISK, seconds=0))
    with full_disk(digits.parent), pytest.raises(StepFailed) as caught:
        staging._is_mounted(one, one.assignment.spec.data_sets[0])
    assert caught.value.cause == Cause.STORAGE


def test_a_long_listing_can_be_stopped(instance: Made, monkeypatch: pytest.MonkeyPatch):
    """A wish ends it within a thousand entries, however many there are; the progress says how far it is."""
    one, seen = instance(), list[int]()
    entry = next(one.storage.entries(parse(one.assignment.spec.data_sets[0].path)))

    def endless(_place: Location) -> Iterator[Entry]:
        for count in itertools.count(1):
            seen.append(count)
            if count == 1500:
                one.door.wish = Wish.STOP
            yield entry

    monkeypatch.setattr(one.storage, "entries", endless)
    with pytest.raises(Interrupted):
        stage_in(one, silent)
    assert len(seen) == 2001
    assert one.door.progress == "listing the data set digits: 1000 files so far"


def test_links_that_lead_away_are_told_of(instance: Made, root: Path):
    """They are not copied, and a person sees which."""
    (root / "code" / "secret.py").symlink_to("/etc/hostname")
    one = instance()
    stage_in(one, silent)
    assert list(texts(one.folders.source)) == ["train.py"]
    assert "secret.py" in one.door.warnings[0]


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
