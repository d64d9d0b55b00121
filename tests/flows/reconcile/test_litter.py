"""Folders of nobody: only what carries an id of ours that the records do not know goes, and only when it is old."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blocks.logs.local import file_of
from blocks.platform import Platform
from blocks.records import repairs as written
from blocks.records import trainings
from blocks.records.words import TrainingState
from flows.reconcile import litter
from flows.reconcile.findings import Repair
from flows.reconcile.tidy import tidy
from flows.tensorboard.service import folder as mirror_of
from flows.training.assignment import work_folder
from flows.training.instances.kept import kept_folder
from tests.flows.reconcile.conftest import Granted, reconciled

T = TrainingState
GONE = "tr-ffffffffffff"
HOURS_AGO = time.time() - 2 * 3600


def filled(folder: Path, changed: float = HOURS_AGO) -> Path:
    """Make a folder with a file in a folder of it, all last changed then."""
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("x")
    for path in (folder / "inner" / "file", folder / "inner", folder):
        os.utime(path, (changed, changed))
    return folder


def removed(here: Platform, runs: Any, **how: Any) -> list[str]:
    """Return what a thorough look removes."""
    report = reconciled(here, runs, thorough=True, **how)
    assert not any("folders" in one for one in report.unseen)
    return [one.subject for one in report.found if one.repair == Repair.REMOVE]


def places(home: Path, training_id: str, experiment_id: str) -> list[Path]:
    """Return the folders that a training has on this machine, as those who make them name them."""
    return [
        work_folder(home, f"{training_id}-a1"),
        file_of(home, training_id, 1, 0).parents[1],
        mirror_of(home, experiment_id, "digits", training_id),
    ]


@pytest.fixture
def alive(here: Platform, granted: Granted) -> tuple[str, str]:
    """The ids of a training that runs and of its experiment."""
    training_id = granted(T.RUNNING, silent=1).removesuffix("-a1")
    with here.records.reading() as session:
        return training_id, trainings.find(session, training_id).experiment_id


def test_what_a_deletion_left_is_removed(here: Platform, runs: Any, alive: tuple[str, str]):
    """Of a training that the records do not know: its work, its log, its mirror; it is written down."""
    home, (training_id, experiment_id) = here.settings.home, alive
    theirs = [filled(one) for one in places(home, GONE, experiment_id)]
    ours = [filled(one) for one in places(home, training_id, experiment_id)]
    expected = sorted(map(str, theirs))
    assert sorted(removed(here, runs, dry_run=True)) == expected
    assert all(one.is_dir() for one in theirs)
    assert sorted(removed(here, runs)) == expected
    assert not any(one.exists() for one in theirs)
    assert all((one / "inner" / "file").is_file() for one in ours)
    with here.records.reading() as session:
        assert sorted(one.subject for one in written.newest(session, 9)) == expected
    assert removed(here, runs) == []


def test_what_was_kept_is_left_to_a_person(here: Platform, runs: Any, alive: tuple[str, str]):
    """There is no other copy: what nobody knows is told at each look, and never removed."""
    home, (training_id, _) = here.settings.home, alive
    ours, theirs = (filled(kept_folder(home, one).parent) for one in (training_id, GONE))
    for dry_run in (True, False, False):
        report = reconciled(here, runs, thorough=True, dry_run=dry_run)
        assert [(one.subject, one.repair) for one in report.found] == [(str(theirs), Repair.ASK)]
    assert all((one / "inner" / "file").is_file() for one in (ours, theirs))
    with here.records.reading() as session:
        assert written.newest(session, 9) == []


def test_the_mirrors_of_an_experiment_that_was_deleted_are_removed(here: Platform, runs: Any, alive: tuple[str, str]):
    """All at once."""
    gone = filled(mirror_of(here.settings.home, "ex-ffffffffffff", "digits", GONE)).parent
    os.utime(gone, (HOURS_AGO, HOURS_AGO))
    assert removed(here, runs) == [str(gone)]
    assert not gone.exists()


@pytest.mark.parametrize("changed", ["folder", "inner", "inner/file"])
def test_what_was_changed_within_the_hour_stays(here: Platform, runs: Any, alive: tuple[str, str], changed: str):
    """Somebody may be at work there: the folder, or anything in it."""
    for one in places(here.settings.home, GONE, alive[1]):
        os.utime(filled(one) / changed.removeprefix("folder"))
    assert removed(here, runs) == []


def test_what_carries_no_id_of_ours_stays(here: Platform, runs: Any, alive: tuple[str, str]):
    """A person's folder, one whose name begins or ends like ours, and a link, wherever it leads."""
    home, (_, experiment_id) = here.settings.home, alive
    names = (
        "notes",
        "tr-gone",
        f"{GONE}0",
        f"my-{GONE}",
        "tr-ffffffffffff-a1-copy",
        "TR-FFFFFFFFFFFF",
        "tr-ffffffffffff-a01",
    )
    roots = [home / "work", home / "kept", home / "logs" / "trainings", home / "tensorboard"]
    there = [filled(root / name) for root in roots for name in names]
    there += [filled(home / "tensorboard" / experiment_id / name) for name in ("notes", "digits-fffff", "ffffff")]
    there += [filled(home / "tensorboard" / "board" / f"digits-{GONE[-6:]}"), filled(home / GONE)]
    (home / "work" / f"{GONE}-a1").symlink_to(there[0])
    (home / "logs" / "trainings" / "tr-aaaaaaaaaaaa").write_text("a file")
    assert removed(here, runs) == []
    assert all((one / "inner" / "file").is_file() for one in there)


def test_data_behind_a_link_stays(here: Platform, runs: Any, tmp_path: Path):
    """A folder goes with its links, never with what they lead to."""
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "data").write_text("precious")
    folder = filled(here.settings.home / "work" / f"{GONE}-a1")
    (folder / "digits").symlink_to(tmp_path / "mount")
    os.utime(folder / "digits", (HOURS_AGO, HOURS_AGO), follow_symlinks=False)
    os.utime(folder, (HOURS_AGO, HOURS_AGO))
    assert removed(here, runs) == [str(folder)]
    assert not folder.exists()
    assert (tmp_path / "mount" / "data").read_text() == "precious"


def test_where_something_still_runs_nothing_goes(here: Platform, runs: Any, script: Any):
    """Whoever started it: it may still write there."""
    folder = filled(here.settings.home / "work" / "tr-aaaaaaaaaaaa-a1")
    process = script("tr-aaaaaaaaaaaa-a1", EMF_HOME="/elsewhere")
    assert removed(here, runs) == []
    process.kill()
    process.wait(10)
    assert removed(here, runs) == [str(folder)]


def test_what_a_script_closed_is_removed(here: Platform, runs: Any):
    """Although it may not even be listed."""
    folder = filled(here.settings.home / "work" / f"{GONE}-a1")
    (folder / "inner").chmod(0o000)
    os.utime(folder, (HOURS_AGO, HOURS_AGO))
    assert removed(here, runs) == [str(folder)]
    assert not folder.exists()


def test_what_ended_or_runs_is_not_litter(here: Platform, make: Callable[..., str], granted: Granted, runs: Any):
    """An ended attempt's folder is tidied, which keeps what is worth it; an open one's stays."""
    alive, work = granted(silent=1), here.settings.home / "work"
    assert tidy(here) == []
    for name in (alive, f"{GONE}-a1", "notes"):
        filled(work / name)
    assert tidy(here) == []
    assert removed(here, runs) == [str(work / f"{GONE}-a1")]
    assert sorted(one.name for one in work.iterdir()) == sorted([alive, "notes"])


def test_an_attempt_that_begins_meanwhile_keeps_its_folder(here: Platform, runs: Any, monkeypatch: pytest.MonkeyPatch):
    """Folders are looked at before the records, in which an attempt is before its folder is made."""
    known, later = litter._attempts, here.settings.home / "work" / "tr-aaaaaaaaaaaa-a1"

    def look(session: Any, ids: Any) -> Any:
        filled(later)
        return known(session, ids)

    gone = filled(here.settings.home / "work" / f"{GONE}-a1")
    monkeypatch.setattr(litter, "_attempts", look)
    assert removed(here, runs) == [str(gone)]
    assert later.is_dir()
