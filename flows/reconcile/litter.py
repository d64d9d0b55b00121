"""Folders of nobody on this machine: of trainings that were deleted, where their deletion died on the way.

Only what carries an id of ours that the records do not know goes, and only when nothing in it has changed for an hour;
never a model or checkpoint that was kept because its place was away.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy.orm import Session

from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import survey
from flows.reconcile.difference import Difference
from flows.reconcile.findings import Finding, Repair
from flows.reconcile.shown import ATTEMPT
from flows.training.instances.permissions import open_up

TRAINING = re.compile(r"tr-[0-9a-f]{12}")
EXPERIMENT = re.compile(r"ex-[0-9a-f]{12}")
MIRROR = re.compile(r".+-(?P<end>[0-9a-f]{6})")  # a training's name, and the end of its id
AGE = timedelta(hours=1)

Known = Callable[[Session, Collection[str]], Collection[str]]


def of_nobody(platform: Platform) -> Iterator[Difference]:
    """Return the folders of attempts, trainings and experiments that the records do not know."""
    home = platform.settings.home
    for where, pattern, known in (
        (home / "work", ATTEMPT, _attempts),
        (home / "logs" / "trainings", TRAINING, survey.trainings_among),
        (home / "tensorboard", EXPERIMENT, survey.trainings_of),
    ):
        # Folders first: one that is made meanwhile belongs to somebody whom the records know by then.
        there = [folder for folder in _folders(where) if pattern.fullmatch(folder.name)]
        yield from _removals(_unknown(platform, there, known), "the records do not know its id")
    yield from _removals(_mirrors(platform), "no training of its experiment has such an id")
    yield from _kept(platform)


def _unknown(platform: Platform, there: Collection[Path], known: Known) -> list[Path]:
    with platform.records.reading() as session:
        wanted = known(session, [folder.name for folder in there])
    return [folder for folder in there if folder.name not in wanted]


def _kept(platform: Platform) -> Iterator[Difference]:
    """Return what was kept of trainings that the records do not know: there is no other copy, so a person decides."""
    there = [folder for folder in _folders(platform.settings.home / "kept") if TRAINING.fullmatch(folder.name)]
    what = "what was kept of a training that the records do not know; look what it is, and remove it by hand"
    for folder in _unknown(platform, there, survey.trainings_among):
        yield Difference(Finding(str(folder), Repair.ASK, what), lambda: False)


def _attempts(session: Session, attempt_ids: Collection[str]) -> Collection[str]:
    # What still runs may still write.
    return {one.attempt_id for one in survey.among(session, attempt_ids)} | processes.running().keys()


def _mirrors(platform: Platform) -> list[Path]:
    """Return the mirrors of TensorBoard's files in known experiments that belong to none of their trainings."""
    experiments = [one for one in _folders(platform.settings.home / "tensorboard") if EXPERIMENT.fullmatch(one.name)]
    there = {one.name: list(_folders(one)) for one in experiments}
    with platform.records.reading() as session:
        known = survey.trainings_of(session, list(there))
    return [
        folder
        for experiment_id, ids in known.items()
        for folder in there[experiment_id]
        if (mirror := MIRROR.fullmatch(folder.name)) and not any(one.endswith(mirror["end"]) for one in ids)
    ]


def _folders(where: Path) -> list[Path]:
    if not where.is_dir():
        return []
    return sorted(one for one in where.iterdir() if one.is_dir() and not one.is_symlink())


def _removals(folders: Collection[Path], why: str) -> Iterator[Difference]:
    for folder in folders:
        if time.time() - changed_at(folder) > AGE.total_seconds():
            yield Difference(
                Finding(str(folder), Repair.REMOVE, f"a folder of nobody: {why}"), partial(_remove, folder)
            )


def changed_at(folder: Path) -> float:
    """Return when a folder, or anything in it, was last changed, in seconds since 1970."""
    newest = folder.lstat().st_mtime
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                newest = max(newest, Path(parent, name).lstat().st_mtime)
            except OSError:  # it has just gone: something is at work there
                return time.time()
    return newest


def _remove(folder: Path) -> bool:
    if not folder.is_dir() or folder.is_symlink():
        return False
    open_up(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise OSError(f"{folder} could not be removed; remove it by hand.")
    return True
