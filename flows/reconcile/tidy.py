"""Remove the folders of attempts that have ended, once what is worth keeping in them is kept.

A folder that is there is the note that something is left to keep: what fails is found again at the next look. Once all
is kept it is renamed, and of that only the removal is left to do. What no place takes for an hour is kept on this
machine, as far as it is whole.
"""

import shlex
import shutil
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import survey, trainings
from blocks.records.survey import Glance
from blocks.records.tables import Attempt, Training, now
from blocks.records.transitions import note
from blocks.records.words import TrainingState
from flows.reconcile.alone import alone
from flows.reconcile.at_work import at_work, is_at_work
from flows.reconcile.findings import Finding, Repair
from flows.training.assignment import checkpoints_of, work_folder
from flows.training.checkpoints.salvage import salvage, withdraw_model
from flows.training.checkpoints.start import copy_folder
from flows.training.instances.kept import move_whole
from flows.training.instances.permissions import open_up
from flows.training.spec import TrainingSpec

PATIENCE = timedelta(hours=1)  # how long a place that is away, or refuses, is tried: the folder takes room
BEGAN = now()  # since when this process tidies: before, nobody may have tried
TIDIED = ".tidied"  # how the name of a folder ends of which all is kept

log = structlog.get_logger("tidy")


def tidy(platform: Platform) -> list[str]:
    """Remove the folders of attempts that have ended; returns their ids."""
    root = platform.settings.home / "work"
    if not root.is_dir():
        return []
    with alone(platform.settings.home / "tidy.lock") as mine:
        if not mine:
            return []
        for folder in _delivered(platform):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in root.glob(f"*{TIDIED}"):  # of a tidying that was killed, or what could not be removed
            _remove(folder)
        return [attempt_id for attempt_id in _left(platform) if _clear(platform, attempt_id)]


def untidy(platform: Platform) -> list[Finding]:
    """Return what there is to be tidied: no difference between records and world, and yet something to be done."""
    kept = "what is worth keeping is kept, then its folder on this machine goes"
    there = [Finding(attempt_id, Repair.TIDY, kept) for attempt_id in _left(platform)]
    reached = "the model has reached its place, and what was kept until then goes"
    return there + [Finding(str(folder), Repair.TIDY, reached, folder.name) for folder in _delivered(platform)]


def _delivered(platform: Platform) -> list[Path]:
    """Return what was kept of trainings whose models have reached their places; others have nothing but that."""
    found: list[Path] = []
    for folder in (platform.settings.home / "kept").glob("*"):
        with platform.records.reading() as session:
            row = session.get(Training, folder.name)
            if row is not None and trainings.has_been(session, row, TrainingState.COMPLETE):
                found.append(folder)
    return found


def _left(platform: Platform) -> list[str]:
    """Return the attempts whose folders can be tidied now: what still runs may still write, or read."""
    with platform.records.reading() as session:
        ended = [one.attempt_id for one in untidied(session, platform.settings.home)]
    alive = processes.running() if ended else {}
    return [attempt_id for attempt_id in ended if attempt_id not in alive]


def untidied(session: Session, home: Path) -> list[Glance]:
    """Return the attempts that have ended and whose folders are still to be tidied.

    Until then a next attempt could go on from an older checkpoint than there is, and lose its model's marker.
    """
    root = home / "work"
    there = [folder.name for folder in root.iterdir() if folder.is_dir()] if root.is_dir() else []
    return [one for one in survey.among(session, there) if one.ended_at]  # one of nobody may be anything


def is_being_tidied(home: Path, attempt_id: str) -> bool:
    """Say whether somebody is at work at an attempt's folder now.

    That may take hours, and ends in a checkpoint. Who was killed, or waits for a place to come back, is not at work.
    """
    return is_at_work(work_folder(home, attempt_id))


def _clear(platform: Platform, attempt_id: str) -> bool:
    """Keep what an attempt left, then remove its folder; returns whether all is kept."""
    folder = work_folder(platform.settings.home, attempt_id)
    try:
        open_up(folder)
        with at_work(folder) as mine:
            if not mine:
                return False
            _keep(platform, attempt_id)
            tidied = folder.rename(folder.with_name(f"{attempt_id}{TIDIED}"))
        if not _remove(tidied):
            log.warning("not removed", folder=str(tidied))
            _warn(platform, attempt_id, f"could not be removed from this machine; remove {tidied} by hand")
    except Exception:
        # One that cannot be cleared must not keep the others from it; it is found again.
        log.exception("not tidied", attempt=attempt_id)
        return False
    return True


def _remove(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _keep(platform: Platform, attempt_id: str) -> None:
    with platform.records.reading() as session:
        row = session.get(Attempt, attempt_id)
    if row is None or row.ended_at is None:
        return
    for step in (withdraw_model, salvage):
        try:
            step(platform, attempt_id)
        except (BlockError, OSError) as error:
            # Also what is refused may pass: a full disk, a key that is changed, a settings file that is being edited.
            if now() - max(row.ended_at, BEGAN) < PATIENCE:
                raise
            where = _put_by(platform, attempt_id) if step is salvage else ""
            _warn(platform, attempt_id, f"could not be kept: {error}{where}")


def _put_by(platform: Platform, attempt_id: str) -> str:
    """Move the copy that was on its way as one whole out of an attempt's folder; returns what to say of it.

    It belongs to its training, like a model that is kept. One that has completed needs no checkpoint any more.

    Raises:
        OSError: it cannot be moved; it is whole where it was.
    """
    with platform.records.reading() as session:
        row = session.get_one(Attempt, attempt_id)
        training = row.training
        if trainings.has_been(session, training, TrainingState.COMPLETE):
            return ""
    copy = copy_folder(work_folder(platform.settings.home, attempt_id))
    folder = platform.settings.home / "kept" / training.id / f"checkpoint-{row.number}"
    if copy.is_dir() and not folder.exists():
        move_whole(copy, folder)
    if not folder.exists():
        return ""
    # Not named like one of the platform's checkpoints: that would be none that the records know, and go.
    place = f"{checkpoints_of(TrainingSpec.model_validate(training.request), training.id, row.number)}/kept/"
    command = shlex.join(["emf", "storage", "put", str(folder), place])
    until = "until the training is COMPLETE or deleted"
    return f" Its last checkpoint is kept in {folder} {until}; `{command}` sends it once its place is mended."


def _warn(platform: Platform, attempt_id: str, what: str) -> None:
    with platform.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        if row is not None:
            note(session, row.training, f"Warning: what attempt {row.number} left {what}")
