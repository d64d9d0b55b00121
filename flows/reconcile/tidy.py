"""Remove the folders of attempts that have ended, once what is worth keeping in them is kept.

A folder that is there is the note that something is left to keep: what fails is found again at the next look. Once all
is kept it is renamed, and of that only the removal is left to do. What no place takes for an hour is kept on this
machine, as far as it is whole.

Several may tidy at once, so that one place that is away holds up no attempt whose place is there; of one training's
attempts only one is tidied at a time.
"""

import math
import shutil
import time
from collections.abc import Collection, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from blocks.platform import Platform
from blocks.pools import processes
from blocks.records import survey, trainings
from blocks.records.survey import Glance
from blocks.records.tables import Training
from blocks.records.words import TrainingState
from flows.reconcile.alone import alone
from flows.reconcile.at_work import at_work, is_at_work
from flows.reconcile.findings import Finding, Repair
from flows.reconcile.in_turn import InTurn
from flows.reconcile.keeping import keep, warn
from flows.training.assignment import work_folder
from flows.training.instances.permissions import let_in, open_up

PATIENCE_SECONDS = 3600.0  # how long a place that is away, or refuses, is tried: the folder takes room
TIDIED = ".tidied"  # how the name of a folder ends of which all is kept

log = structlog.get_logger("tidy")


def tidy(platform: Platform, in_turn: InTurn | None = None, within: float = math.inf) -> list[str]:
    """Remove the folders of attempts that have ended; returns their ids.

    Args:
        platform: whose.
        in_turn: who has failed how often, and since when, where it is done again and again.
        within: begin with no other after so many seconds: the next look has what was left meanwhile come first.
    """
    turns, end = in_turn or InTurn(), time.monotonic() + within
    _clear_up(platform)
    left, done = _left(platform), list[str]()
    for attempt_id in turns.due(left):
        is_last_try = turns.failing_for(attempt_id) >= PATIENCE_SECONDS
        try:
            if _clear(platform, attempt_id, left[attempt_id], is_last_try=is_last_try):
                done.append(attempt_id)
        except Exception:
            # One that cannot be cleared must not keep the others from it; it is found again.
            log.exception("not tidied", attempt=attempt_id)
            turns.failed(attempt_id)
        if time.monotonic() > end:
            break
    return done


def untidy(platform: Platform) -> list[Finding]:
    """Return what there is to be tidied: no difference between records and world, and yet something to be done."""
    kept = "what is worth keeping is kept, then its folder on this machine goes"
    there = [Finding(attempt_id, Repair.TIDY, kept) for attempt_id in _left(platform)]
    reached = "the model has reached its place, and what was kept until then goes"
    return there + [Finding(str(folder), Repair.TIDY, reached, folder.name) for folder in _delivered(platform)]


def _clear_up(platform: Platform) -> None:
    """Remove what needs no keeping any more, unless somebody does."""
    home = platform.settings.home
    with alone(home / "tidy.lock") as mine:
        if not mine:
            return
        # Of models that are in their places, and of a tidying that was killed, or what could not be removed.
        for folder in (*_delivered(platform), *(home / "work").glob(f"*{TIDIED}")):
            _remove(folder)


def _delivered(platform: Platform) -> list[Path]:
    """Return what was kept of trainings whose models have reached their places; others have nothing but that."""
    found: list[Path] = []
    for folder in (platform.settings.home / "kept").glob("*"):
        with platform.records.reading() as session:
            row = session.get(Training, folder.name)
            if row is not None and trainings.has_been(session, row, TrainingState.COMPLETE):
                found.append(folder)
    return found


def _left(platform: Platform) -> dict[str, list[Path]]:
    """Return the attempts whose folders can be tidied now, each with all folders that its training's attempts left."""
    home = platform.settings.home
    with platform.records.reading() as session:
        ended = sorted(untidied(session, home), key=lambda one: one.number)
    alive = processes.running() if ended else {}  # what still runs may still write, or read
    folders: dict[str, list[Path]] = {}
    for one in ended:
        folders.setdefault(one.training_id, []).append(work_folder(home, one.attempt_id))
    return {one.attempt_id: folders[one.training_id] for one in ended if one.attempt_id not in alive}


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


def _clear(platform: Platform, attempt_id: str, beside: Collection[Path], *, is_last_try: bool) -> bool:
    """Keep what an attempt left, then remove its folder; returns whether that was ours to do."""
    folder = work_folder(platform.settings.home, attempt_id)
    with _at_work_on(beside) as mine:
        if not mine or not folder.is_dir():  # another is at it, or is done with it
            return False
        open_up(folder)
        keep(platform, attempt_id, is_last_try=is_last_try)
        tidied = folder.rename(folder.with_name(f"{attempt_id}{TIDIED}"))
    if not _remove(tidied):
        log.warning("not removed", folder=str(tidied))
        warn(platform, attempt_id, f"could not be removed from this machine; remove {tidied} by hand")
    return True


@contextmanager
def _at_work_on(folders: Collection[Path]) -> Generator[bool]:
    """Be at work on all that one training's attempts left; says whether nobody else is at any of it.

    Who keeps what one of them left forgets what the records do not know of the others: that may just be on its way.
    """
    for folder in folders:
        let_in(folder)  # a script may have closed it, and be dead
    with ExitStack() as stack:
        yield all(stack.enter_context(at_work(folder)) for folder in folders if folder.is_dir())


def _remove(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
