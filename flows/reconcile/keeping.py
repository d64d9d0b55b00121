"""Keep what is worth it of what an attempt left; what no place has taken for long is put by, as far as it is whole."""

import shlex

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.tables import Attempt
from blocks.records.transitions import note
from blocks.records.words import TrainingState
from flows.training.assignment import checkpoints_of, work_folder
from flows.training.checkpoints.salvage import salvage, withdraw_model
from flows.training.checkpoints.start import copy_folder
from flows.training.instances.kept import move_whole
from flows.training.spec import TrainingSpec


def keep(platform: Platform, attempt_id: str, *, is_last_try: bool) -> None:
    """Send what an attempt left to its places; what they do not take at the last try is put by, and told of.

    Raises:
        BlockError: a place is away or refuses. That may pass: a full disk, a key that is changed, a file of settings
            that is being edited.
        OSError: this machine's disk refuses.
    """
    with platform.records.reading() as session:
        row = session.get(Attempt, attempt_id)
    if row is None or row.ended_at is None:
        return
    for step in (withdraw_model, salvage):
        try:
            step(platform, attempt_id)
        except (BlockError, OSError) as error:
            if not is_last_try:
                raise
            where = _put_by(platform, attempt_id) if step is salvage else ""
            warn(platform, attempt_id, f"could not be kept: {error}{where}")


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


def warn(platform: Platform, attempt_id: str, what: str) -> None:
    """Tell an attempt's training what is the matter with what it left."""
    with platform.records.writing() as session:
        row = session.get(Attempt, attempt_id)
        if row is not None:
            note(session, row.training, f"Warning: what attempt {row.number} left {what}")
