"""The keeper: what scripts write to EM_CHECKPOINT_DIR becomes, while they run, a committed checkpoint.

Scripts need to know nothing of this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from blocks.storage.location import DERIVED_LIMIT, parse
from blocks.storage.storage import Storage
from blocks.storage.store import Progress
from flows.training.checkpoints.checkpoint import Committed, Known, commit, forget, manifest_of
from flows.training.checkpoints.manifest import Manifest, are_same
from flows.training.checkpoints.provenance import Provenance
from flows.training.checkpoints.snapshot import SHARE_OF_DISK, Part, Signature, look_at, snapshot, written_at
from flows.training.whole import discard

STILL_SECONDS = 1.0
STILL_TOGETHER_SECONDS = 3.0  # of several instances one may still write what another has written
MOVING_SECONDS = 10.0  # a folder that never rests is tried all the same
OPEN_SECONDS = 600.0  # also one with a file that is never closed; a save that takes long must be over by then


@dataclass(frozen=True)
class Kept:
    """Whose checkpoints are kept, where, and how many.

    Attributes:
        attempt_id: the attempt.
        root: the folder of its checkpoints.
        keep: how many of the training's newest stay.
        earlier: the paths of those that earlier attempts left, the oldest first.
        before: the one that it goes on from.
        made_from: what is told of them all.
    """

    attempt_id: str
    root: str
    keep: int
    earlier: Sequence[str] = ()
    before: Known | None = None
    made_from: Provenance | None = None


def is_due(
    current: Signature, committed: Signature, *, resting: float, moving: float, still: float = STILL_SECONDS
) -> bool:
    """Say whether what lies there should be kept now: it is new, and rests (or has not rested for long).

    Args:
        current: what lies there.
        committed: what lay there when it was kept last.
        resting: for how many seconds it has been as it is.
        moving: for how many seconds it has not been as it was kept.
        still: for how many seconds it has to rest.
    """
    return bool(current) and current != committed and (resting >= still or moving >= MOVING_SECONDS)


class Keeper:
    """Commits what appears in the checkpoint folders of an attempt's instances, one checkpoint at a time."""

    def __init__(
        self,
        storage: Storage,
        parts: Sequence[Part],
        copy: Path,
        of: Kept,
        tell: Callable[[Committed], None],
        *,
        is_being_written: Callable[[], bool] = lambda: False,
        make_sure: Callable[[], None] = lambda: None,
        progress: Progress | None = None,
    ) -> None:
        """Watch the parts.

        Args:
            storage: which knows the place.
            parts: of every instance.
            copy: the folder for what is on its way.
            of: whose they are.
            tell: called with each commit, in order, until it returns.
            is_being_written: whether a file in one of the folders is open for writing just now.
            make_sure: raises where the attempt is not ours any more; asked before anything is sent.
            progress: told of what is sent.
        """
        self._storage, self._parts, self._copy, self._of = storage, parts, copy, of
        self._tell, self._is_being_written, self._make_sure = tell, is_being_written, make_sure
        self._progress = progress
        self._root = parse(of.root, DERIVED_LIMIT)
        self._still = STILL_TOGETHER_SECONDS if len(parts) > 1 else STILL_SECONDS
        # What a retry starts with is a checkpoint already.
        self._committed = self._previous = look_at(parts).files
        self._before = of.before
        self._rested: Signature = {}
        self._rests_since: float | None = None
        self._moving_since: float | None = None
        self._was_kept_at = datetime.now(UTC)  # when all that lay there was last seen to be kept
        self._number = 0
        self._is_half_sent = False
        self.kept = list(of.earlier)
        self._untold: list[Committed] = []

    def tick(self, now: float) -> Committed | None:
        """Look at the folders; commit what is due. `now` is a monotonic clock in seconds."""
        self._tell_all()
        current = look_at(self._parts).files
        if current != self._previous or self._rests_since is None:
            self._previous, self._rests_since = current, now
        if current == self._committed:
            self._moving_since, self._was_kept_at = None, datetime.now(UTC)
        elif self._moving_since is None:
            self._moving_since = now
        moving = now - self._moving_since if self._moving_since is not None else 0.0
        resting = now - self._rests_since
        due = is_due(current, self._committed, resting=resting, moving=moving, still=self._still)
        # A file that is open for writing only pauses.
        waits = due and moving < OPEN_SECONDS and self._is_being_written()
        if due and not waits and resting >= self._still:
            self._rested = current
        return self._commit() if due and not waits else None

    def finish(self, *, is_whole: bool = True) -> Committed | None:
        """Commit what the scripts left when they ended, if that is new.

        Where one of them was killed it may have been writing (not `is_whole`): only what had rested before is taken.
        """
        self._tell_all()
        current = look_at(self._parts).files
        is_new = bool(current) and current != self._committed
        # Nobody writes any more who would need some room of the disk meanwhile.
        return self._commit(share=1.0) if is_new and (is_whole or current == self._rested) else None

    def _commit(self, share: float = SHARE_OF_DISK) -> Committed | None:
        taken = snapshot(self._parts, self._copy, share=share)
        if taken is None:
            return None
        manifest = self._manifest(written_at(taken.files, self._committed, self._was_kept_at))
        if not manifest.files or (self._before and are_same(manifest.files, self._before.manifest.files)):
            self._committed = taken.files  # written again, but not new: a checkpoint is progress
            discard(self._copy)
            return None
        self._make_sure()
        place = self._root / f"checkpoint-{manifest.number}"
        if self._is_half_sent:  # what a try that failed left there is not this snapshot, its marker least of all
            forget(self._storage, place)
        self._is_half_sent = True
        done = commit(self._storage, [Part(self._copy)], place, manifest, self._before, self._progress)
        done = replace(done, left_out=(*taken.left_out, *done.left_out))
        self._is_half_sent = False
        self._committed, self._moving_since = taken.files, None
        self._number, self._before = manifest.number, Known(place, manifest)
        self.kept.append(done.path)
        self._untold.append(done)
        self._tell_all()
        return done

    def _manifest(self, taken_at: datetime) -> Manifest:
        number = self._number + 1
        return manifest_of(
            [Part(self._copy)],
            self._root / f"checkpoint-{number}",
            self._of.attempt_id,
            number,
            instances=len(self._parts),
            taken_at=taken_at,
            made_from=self._of.made_from,
        )

    def forget_old(self) -> None:
        """Delete all but the newest; what cannot be deleted now is tried when asked again, and no new one waits for it.

        Raises:
            blocks.storage.errors.StorageError: one could not be deleted.
        """
        if len(self.kept) > self._of.keep:
            self._make_sure()
        while len(self.kept) > self._of.keep:
            forget(self._storage, parse(self.kept[0], DERIVED_LIMIT))
            self.kept.pop(0)

    def _tell_all(self) -> None:
        """Tell of every commit, in order; one that could not be told is told before the next look."""
        while self._untold:
            self._tell(self._untold[0])
            self._untold.pop(0)
            # Not before: to whom a killed run did not tell of it, the copy proves that the folder is whole.
            discard(self._copy)
