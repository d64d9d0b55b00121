"""Records of another platform: an empty database makes nobody's of nothing that is here."""

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records.database import Records
from blocks.records.tables import now
from blocks.records.words import TrainingState
from blocks.tracking.open_runs import OpenRun
from flows.reconcile.identity import FILE, disagreement
from tests.flows.reconcile.conftest import Granted, all_written, reconciled

GONE = "tr-cccccccccccc"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Records:
    """The records that this platform has by mistake: a fresh database of another."""
    records = Records(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    records.migrate()
    return records


def leave_of_nobody(here: Platform, runs: Any, script: Any) -> tuple[Any, list[Path]]:
    """Leave of a training what a thorough look finds: a process, runs, folders."""
    process = script(f"{GONE}-a1")
    for part in ("prefect", "mlflow"):
        script("", EMF_PART=part)
    runs.attempts, runs.states_of["gone"] = {"gone": f"{GONE}-a1"}, "RUNNING"
    here.tracking.open["m"] = OpenRun("m", GONE, now() - timedelta(hours=2))
    home = here.settings.home
    folders = [
        home / "work" / f"{GONE}-a2",
        home / "logs" / "trainings" / GONE,
        home / "tensorboard" / "ex-ffffffffffff",
    ]
    for folder in folders:
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))
    return process, folders


@pytest.mark.parametrize("dry_run", [True, False])
def test_with_the_records_of_another_nothing_is_of_nobody(
    here: Platform, runs: Any, script: Any, elsewhere: Records, platform_id: str, dry_run: bool
):
    """No process is ended, no run closed, no folder removed; the report says so with both ids, and what to do."""
    process, folders = leave_of_nobody(here, runs, script)
    vars(here)["records"] = elsewhere
    for thorough in (False, True):
        report = reconciled(here, runs, thorough=thorough, dry_run=dry_run)
        assert report.found == []
        (told,) = report.unseen
        assert platform_id in told
        assert "EMF_RECORDS_URL" in told
    assert process.poll() is None
    assert (runs.closed, here.tracking.status, all_written(here)) == ({}, {}, [])
    assert all(one.is_dir() for one in folders)


def test_with_its_own_records_all_of_that_is_found(here: Platform, runs: Any, script: Any):
    """The same things are gone then."""
    process, folders = leave_of_nobody(here, runs, script)
    assert reconciled(here, runs, thorough=True).unseen == []
    assert process.poll() is not None
    assert (set(runs.closed), here.tracking.status) == ({"gone"}, {"m": "KILLED"})
    assert not any(one.exists() for one in folders)


@pytest.mark.parametrize(
    ("folders", "takes"),
    [
        ((), True),
        (("work/notes", "logs/controller"), True),
        (("work/{id}-a1",), True),
        (("logs/trainings/{id}", f"kept/{GONE}"), True),
        ((f"work/{GONE}-a1",), False),
        ((f"kept/{GONE}",), False),
        ((f"logs/trainings/{GONE}",), False),
    ],
)
def test_a_folder_takes_an_id_where_nothing_speaks_against_it(
    here: Platform, granted: Granted, platform_id: str, folders: tuple[str, ...], takes: bool
):
    """It holds nothing of trainings, or something of one that the records know; a dry run writes nothing."""
    file = here.settings.home / FILE
    file.unlink()
    training_id = granted(TrainingState.RUNNING).removesuffix("-a1")
    for one in folders:
        (here.settings.home / one.format(id=training_id)).mkdir(parents=True)
    for take in (False, True):
        assert bool(disagreement(here, take=take)) == (not takes)
        assert file.exists() == (take and takes)
    if takes:
        assert file.read_text() == f"{platform_id}\n"
    else:
        assert f"echo {platform_id} > {file}" in disagreement(here)


def test_what_a_person_writes_settles_it(here: Platform, elsewhere: Records):
    """The command that the message names makes the records this folder's."""
    vars(here)["records"] = elsewhere
    told = disagreement(here)
    os.system(told.split("`")[-2])
    assert disagreement(here) == ""


def test_an_id_that_was_never_written_whole_is_none(here: Platform, platform_id: str):
    """An empty file is taken for no file."""
    (here.settings.home / FILE).write_text("")
    assert disagreement(here) == ""
    assert (here.settings.home / FILE).read_text().strip() == platform_id


def test_a_copy_of_the_records_is_of_the_same_platform(here: Platform, tmp_path: Path):
    """The id is in the records, not in their address: they may be moved."""
    copied = Records(f"sqlite:///{shutil.copy(here.settings.home / 'records.db', tmp_path / 'moved.db')}")
    copied.migrate()
    vars(here)["records"] = copied
    assert disagreement(here) == ""
