"""Environments that nothing needs any more."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.pools.environments import COMPLETE, Environments
from blocks.records import services
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from flows.reconcile.findings import Repair
from tests.flows.reconcile.conftest import Granted, reconciled

T = TrainingState
AGO = time.time() - 2 * 86400
OLD = "pytorch-0123456789ab"


@pytest.fixture
def environment(here: Platform) -> Any:
    """Make an environment of this platform, unused for days; the one of today's lock file by the image's name."""

    def go(name: str) -> Path:
        root = here.settings.home / "environments"
        folder = root / name if name == OLD or "-0" in name else Environments(here.settings.home).folder(name)
        (folder / "bin").mkdir(parents=True)
        for sign in (folder / "pyvenv.cfg", folder / COMPLETE, folder):
            sign.touch()
            os.utime(sign, (AGO, AGO))
        return folder

    return go


def removed(here: Platform, runs: Any, **how: Any) -> list[str]:
    report = reconciled(here, runs, thorough=True, **how)
    assert not any("environments" in one for one in report.unseen)
    return [one.subject for one in report.found if one.repair == Repair.REMOVE]


def test_what_no_lock_file_names_is_removed(here: Platform, runs: Any, environment: Any):
    """Where nothing needs it; today's stays, used or not."""
    old, current = environment(OLD), environment("pytorch")
    assert removed(here, runs, dry_run=True) == [str(old)]
    assert (old / COMPLETE).exists()
    assert removed(here, runs) == [str(old)]
    assert not old.exists()
    assert (current / COMPLETE).exists()


def test_what_a_process_uses_stays(here: Platform, runs: Any, environment: Any):
    """Until it has ended."""
    old = environment(OLD)
    argv = [sys.executable, "-c", "print(flush=True); input()", f"{old}/bin/python"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "\n"
        assert removed(here, runs) == []
        process.communicate("\n", timeout=10)
    assert removed(here, runs) == [str(old)]


@pytest.mark.parametrize(
    ("image", "granted_days_ago", "has_current", "stays"),
    [
        ("pytorch-2.13-cpu-py311", 3, True, True),  # it may have begun with the old one
        ("pytorch-2.13-cpu-py311", 1, True, False),  # it began with today's
        ("pytorch-2.13-cpu-py311", 1, False, True),  # there is no other yet
        ("tensorflow-2.21-cpu-py311", 3, True, False),  # it has another image
        ("no longer in the catalogue", 3, True, True),  # nobody knows what it has
    ],
)
def test_what_an_open_attempt_may_use_stays(
    here: Platform,
    granted: Granted,
    runs: Any,
    environment: Any,
    image: str,
    granted_days_ago: int,
    *,
    has_current: bool,
    stays: bool,
):
    """Until it has ended."""
    old = environment(OLD)
    if has_current:
        environment("pytorch")
    attempt_id = granted(T.RUNNING, silent=1)
    with here.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        row.training.image, row.granted_at = image, now() - timedelta(days=granted_days_ago)
    assert removed(here, runs) == ([] if stays else [str(old)])
    if stays:
        with here.records.writing() as session:
            session.get(Attempt, attempt_id).ended_at = now()
        assert removed(here, runs) == [str(old)]


def test_what_an_open_tensorboard_may_use_stays(here: Platform, runs: Any, environment: Any):
    """It may be started again at any moment, from where it was."""
    old = environment("tensorboard-0123456789ab")
    environment("tensorboard")
    with here.records.writing() as session:
        row = services.reserve(session, "tensorboard-x", "tensorboard", "x", 6006)
        session.flush()
        row.created_at = now() - timedelta(days=3)
    assert removed(here, runs) == []
    with here.records.writing() as session:
        services.forget(session, "tensorboard-x")
    assert removed(here, runs) == [str(old)]


def test_a_build_that_died_is_removed(here: Platform, runs: Any, environment: Any):
    """Also today's: whoever needs it makes it anew."""
    folder = environment("pytorch")
    (folder / COMPLETE).unlink()
    os.utime(folder, (AGO, AGO))
    assert removed(here, runs) == [str(folder)]
    assert not folder.exists()
