"""What a run that was killed could not do itself: keep its last checkpoint, and take back a marker that never counted.

Called for attempts that have ended and of which nothing runs any more, before their folders are removed.
"""

from pathlib import Path

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt
from blocks.records.words import TERMINAL, TrainingState
from blocks.storage.errors import NotFound
from blocks.storage.location import DERIVED_LIMIT, Location, parse
from blocks.storage.storage import Storage
from flows.training.assignment import checkpoints_of, output_of, work_folder
from flows.training.checkpoint import Committed, Damaged, commit, files_of, forget, read_manifest, signature
from flows.training.keeper import KEEP
from flows.training.model import marker
from flows.training.spec import TrainingSpec


def withdraw_model(platform: Platform, attempt_id: str) -> None:
    """Remove the marker of a model whose training never became COMPLETE; none is fine.

    Only the last attempt's: a later one that completed has put its own marker there.

    Raises:
        blocks.storage.errors.StorageError: the output could not be reached.
    """
    with platform.records.reading() as session:
        attempt = session.get_one(Attempt, attempt_id)
        training, is_last = attempt.training, attempt.number == len(attempt.training.attempts)
        # A script that ended well may have put its model there, although a stop was decided on by then.
        was_put = attempt.evidence.get("exit_code") == 0 or trainings.has_been(
            session, training, TrainingState.COMPLETE_IN_PROGRESS
        )
        counts = trainings.has_been(session, training, TrainingState.COMPLETE)
    if was_put and is_last and not counts:
        output = output_of(training.request["output_path"], training.id)
        platform.afresh().storage.delete(marker(output))


def salvage(platform: Platform, attempt_id: str) -> None:
    """Commit what lies in an attempt's checkpoint folder if that is newer than its training's last checkpoint.

    Raises:
        blocks.storage.errors.StorageError: it could not be sent.
    """
    with platform.records.reading() as session:
        attempt = session.get_one(Attempt, attempt_id)
        training = attempt.training
        has_completed = trainings.has_been(session, training, TrainingState.COMPLETE)
        known = [c.path for a in training.attempts if a.number <= attempt.number for c in a.checkpoints]
    spec = TrainingSpec.model_validate(training.request)
    root = checkpoints_of(spec, training.id, attempt.number)
    folder = work_folder(platform.settings.home, attempt.id) / "instance-0" / "checkpoint"
    if not root or has_completed or not signature(folder):
        return
    storage = platform.afresh().storage
    number = max((c.number for c in attempt.checkpoints), default=0)
    if untold := committed_at(storage, _place(root, number + 1), attempt.id, number + 1):
        _tell(platform, attempt.id, untold)
        known, number = [*known, untold.path], number + 1
    is_new = not known or not _is_same(storage, folder, known[-1])
    if is_new and (training.state in TERMINAL or is_whole(folder)):
        number += 1
        place = _place(root, number)
        forget(storage, place)  # what the run had sent of its own next one is not this
        _tell(platform, attempt.id, commit(storage, folder, place, attempt.id, number))
    for old in outlived(number):
        forget(storage, _place(root, old))


def outlived(newest: int) -> range:
    """Return the numbers that the records hold no more, and whose files may still be there.

    Two: up to two were told of here, or one here and one by a run that was killed before it deleted the oldest.
    """
    return range(max(1, newest - KEEP - 1), newest - KEEP + 1)


def _place(root: str, number: int) -> Location:
    return parse(f"{root}/checkpoint-{number}", DERIVED_LIMIT)


def _tell(platform: Platform, attempt_id: str, done: Committed) -> None:
    with platform.records.writing() as session:
        fresh = session.get(Attempt, attempt_id)
        if fresh is not None:
            verbs.checkpoint(session, fresh, done.number, done.path, files=done.files, size=done.bytes, keep=KEEP)


def committed_at(storage: Storage, place: Location, attempt_id: str, number: int) -> Committed | None:
    """Return the checkpoint that an attempt committed there and was killed before it told of it; None without one.

    Its marker is that of its manifest, its manifest is the attempt's, and every file is there with its size.
    """
    try:
        manifest = read_manifest(storage, place)
    except (NotFound, Damaged):
        return None
    if manifest.attempt != attempt_id:
        return None
    there = {entry.key: entry.size for entry in storage.entries(place)}
    sizes = {file.path: file.size for file in manifest.files}
    return Committed(number, str(place), len(sizes), sum(sizes.values())) if sizes.items() <= there.items() else None


def is_whole(folder: Path) -> bool:
    """Say whether what lies there was taken by the run as one whole: its copy, on its way when it died, is the same.

    A script that was killed while it wrote leaves a torn checkpoint, and a next attempt must not go on from that.
    """
    return signature(folder) == signature(folder.parent / "checkpoint-copy")


def _is_same(storage: Storage, folder: Path, path: str) -> bool:
    place = parse(path, DERIVED_LIMIT)
    try:
        return read_manifest(storage, place).files == files_of(folder, place)
    except (NotFound, Damaged):
        return False
