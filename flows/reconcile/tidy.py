"""Remove the folders of attempts that have ended, once what is worth keeping in them is kept.

A folder that is there is the note that something is left to do: what fails is found again at the next look.
"""

import fcntl
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import structlog

from blocks.errors import BlockError, Permanent
from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import attempt as verbs
from blocks.records.tables import Attempt, Training, now
from blocks.records.transitions import note
from blocks.records.words import TrainingState
from flows.training.assignment import work_folder
from flows.training.salvage import salvage, withdraw_model

PATIENCE = timedelta(hours=1)  # how long a place that is away is tried: the folder takes room

log = structlog.get_logger("tidy")


def tidy(platform: Platform) -> list[str]:
    """Remove the folders of attempts that have ended or are unknown; returns their ids."""
    root = platform.settings.home / "work"
    if not root.is_dir():
        return []
    with _alone(platform.settings.home / "tidy.lock") as mine:
        if not mine:
            return []
        _clear_kept(platform)
        return [attempt_id for attempt_id in _left(platform, root) if _clear(platform, attempt_id)]


def _clear_kept(platform: Platform) -> None:
    """Remove what was kept of models that have reached their places; all others are their training's only ones."""
    for folder in (platform.settings.home / "kept").glob("*"):
        with platform.records.reading() as session:
            row = session.get(Training, folder.name)
        if row is not None and row.state == TrainingState.COMPLETE:
            shutil.rmtree(folder, ignore_errors=True)


def _left(platform: Platform, root: Path) -> list[str]:
    # Folders first: one that is made while we look belongs to an attempt that we then know.
    there = [folder.name for folder in root.iterdir() if folder.is_dir()]
    with platform.records.reading() as session:
        wanted = {row.id for row in verbs.open_attempts(session)}
    # What still runs may still write, or read.
    alive = processes.running()
    return [attempt_id for attempt_id in there if attempt_id not in wanted and attempt_id not in alive]


def _clear(platform: Platform, attempt_id: str) -> bool:
    """Keep what an attempt left, then remove its folder; returns whether it was removed."""
    try:
        _keep(platform, attempt_id)
    except Exception:
        # One that cannot be cleared must not keep the others from it; it is found again.
        log.exception("not tidied", attempt=attempt_id)
        return False
    shutil.rmtree(work_folder(platform.settings.home, attempt_id), ignore_errors=True)
    return True


def _keep(platform: Platform, attempt_id: str) -> None:
    with platform.records.reading() as session:
        row = session.get(Attempt, attempt_id)
    if row is None or row.ended_at is None:
        return
    for step in (withdraw_model, salvage):
        try:
            step(platform, attempt_id)
        except BlockError as error:
            if not isinstance(error, Permanent) and now() - row.ended_at < PATIENCE:
                raise
            _give_up(platform, attempt_id, str(error))


def _give_up(platform: Platform, attempt_id: str, why: str) -> None:
    with platform.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        if row is not None:
            note(session, row.training, f"Warning: what attempt {row.number} left could not be kept: {why}")


@contextmanager
def _alone(lock: Path) -> Generator[bool]:
    """Say whether nobody else tidies now: what one of two keeps, the other must not remove meanwhile."""
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
