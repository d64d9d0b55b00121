"""What a run that was killed could not do itself: keep its last checkpoint, and take back a marker that never counted.

Called for attempts that have ended and of which nothing runs any more, before their folders are removed.
"""

from collections.abc import Sequence

import structlog

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.records import checkpoints, trainings
from blocks.records.tables import Attempt, Training
from blocks.records.words import TERMINAL, TrainingState
from blocks.storage.errors import NotFound
from blocks.storage.location import DERIVED_LIMIT, Location, parse
from blocks.storage.storage import Storage
from flows.training.assignment import checkpoints_of, folder_of, output_of, work_folder
from flows.training.checkpoints.checkpoint import Committed, Known, commit, forget, manifest_of
from flows.training.checkpoints.manifest import Damaged, are_same, read_manifest
from flows.training.checkpoints.paths import NUMBERED
from flows.training.checkpoints.snapshot import Part, look_at, written_at
from flows.training.checkpoints.start import copy_folder, part_of, read_start
from flows.training.instances.model import marker
from flows.training.spec import TrainingSpec

ALL = 10**6  # more than any training keeps

log = structlog.get_logger("salvage")


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
    """Commit what an attempt left on this machine and is newer than its training's last checkpoint.

    What the run had copied as one whole, to send it, is a checkpoint. What lies in the script's own folders may be
    torn, as the script was killed while it wrote: it is kept for a person, but no next attempt must go on from it.

    Raises:
        blocks.storage.errors.StorageError: it could not be sent.
    """
    with platform.records.reading() as session:
        attempt = session.get_one(Attempt, attempt_id)
        training = attempt.training
        has_completed = trainings.has_been(session, training, TrainingState.COMPLETE)
        known = [c.path for a in training.attempts if a.number <= attempt.number for c in a.checkpoints]
        is_last = attempt.number == max(a.number for a in training.attempts)
    left = Left(platform, attempt, TrainingSpec.model_validate(training.request), known, prunes=is_last)
    if not left.root or not (known or left.is_anything()):
        return
    if not has_completed:
        left.keep_untold()
        left.keep([Part(left.copy)])
        if training.state in TERMINAL:
            left.keep(left.parts, beside=True)
    if is_last:  # a later one may go on from any of them: what is too much goes when that one has ended
        try:
            _forget_unknown(platform, left.storage, attempt)
        except BlockError as error:
            if training.state in TERMINAL:
                raise
            log.warning("deleted with what the next attempt leaves", attempt=attempt_id, error=str(error))


class Left:
    """What an attempt that has ended left in its folder, and how its training's checkpoints go on from there."""

    def __init__(
        self, platform: Platform, attempt: Attempt, spec: TrainingSpec, known: Sequence[str], *, prunes: bool
    ) -> None:
        self.root = checkpoints_of(spec, attempt.training_id, attempt.number)
        self.storage = platform.afresh().storage
        folder, count = work_folder(platform.settings.home, attempt.id), spec.instance_count
        self.parts = [part_of(folder / f"instance-{index}", index, count) for index in range(count)]
        self.copy = copy_folder(folder)
        self._platform, self._attempt = platform, attempt
        self._number = max(attempt.commits, *(c.number for c in attempt.checkpoints), 0)
        self._last = known[-1] if known else ""
        self._keep = spec.checkpoints_kept if prunes else ALL

    def is_anything(self) -> bool:
        """Say whether there are files of a checkpoint."""
        return bool(look_at([*self.parts, Part(self.copy)]).files)

    def keep_untold(self) -> None:
        """Tell of a checkpoint that was committed by a run that was killed before it could."""
        number = self._number + 1
        if untold := committed_at(self.storage, _place(self.root, number), self._attempt.id, number):
            self._tell(untold)

    def keep(self, parts: Sequence[Part], *, beside: bool = False) -> None:
        """Commit what lies there, unless that is what the last checkpoint has; what may be torn pushes out no other."""
        if beside:
            self._keep += 1
        number = self._number + 1
        place = _place(self.root, number)
        before = _known(self.storage, self._last) if self._last else None
        manifest = manifest_of(
            parts,
            place,
            self._attempt.id,
            number,
            instances=len(self.parts),
            taken_at=written_at(look_at(parts).files, {}, self._attempt.granted_at),
            made_from=read_start(self.parts[0].folder.parent).made_from,
        )
        if manifest.files and not (before and are_same(manifest.files, before.manifest.files)):
            forget(self.storage, place)  # what the run had sent of its own next one is not this
            self._tell(commit(self.storage, parts, place, manifest, before))

    def _tell(self, done: Committed) -> None:
        with self._platform.records.writing() as session:
            fresh = session.get(Attempt, self._attempt.id)
            if fresh is not None:
                checkpoints.committed(
                    session,
                    fresh,
                    done.number,
                    done.path,
                    files=done.files,
                    size=done.bytes,
                    keep=self._keep,
                    taken_at=done.taken_at,
                )
        self._number, self._last = done.number, done.path


def _place(root: str, number: int) -> Location:
    return parse(f"{root}/checkpoint-{number}", DERIVED_LIMIT)


def _known(storage: Storage, path: str) -> Known | None:
    place = parse(path, DERIVED_LIMIT)
    try:
        return Known(place, read_manifest(storage, place))
    except (NotFound, Damaged):
        return None


def committed_at(storage: Storage, place: Location, attempt_id: str, number: int) -> Committed | None:
    """Return the checkpoint that an attempt committed there and was killed before it told of it; None without one.

    Its marker is that of its manifest, its manifest is the attempt's, and every file is there with its size.
    """
    known = _known(storage, str(place))
    if known is None or known.manifest.attempt != attempt_id:
        return None
    manifest = known.manifest
    there = {entry.key: entry.size for entry in storage.entries(place)}
    sizes = {file.path: file.size for file in manifest.files}
    if not sizes.items() <= there.items():
        return None
    return Committed(number, str(place), len(sizes), manifest.size, taken_at=manifest.taken_at)


def _forget_unknown(platform: Platform, storage: Storage, attempt: Attempt) -> None:
    """Delete checkpoints of this attempt, and of those before it, that the records do not hold (any more).

    A run that is killed between telling of a new one and deleting the oldest leaves that.
    """
    with platform.records.reading() as session:
        training = session.get_one(Training, attempt.training_id)
        known = {c.path for a in training.attempts for c in a.checkpoints}
    root = folder_of(training.request["checkpoint_path"], training.id)
    for number, path in _there(storage, root):
        if number <= attempt.number and path not in known:
            forget(storage, parse(path, DERIVED_LIMIT))


def _there(storage: Storage, root: str) -> set[tuple[int, str]]:
    """Return the checkpoints of which anything lies in a training's folder: the number of the attempt, and the path."""
    keys = (entry.key for entry in storage.entries(parse(f"{root}/", DERIVED_LIMIT)))
    found = filter(None, map(NUMBERED.match, keys))
    return {(int(one["attempt"]), f"{root}/{one.group()}") for one in found}
