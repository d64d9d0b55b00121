"""The keeper: what a script writes to EM_CHECKPOINT_DIR becomes, while it runs, a committed checkpoint.

Scripts need to know nothing of this.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from blocks.storage.location import DERIVED_LIMIT, parse
from blocks.storage.storage import Storage
from flows.training.checkpoint import Committed, Look, Signature, commit, forget, look, signature

KEEP = 3
MOVING_SECONDS = 10.0  # a folder that never rests is tried all the same


def is_due(current: Signature, previous: Signature, committed: Signature, moving_seconds: float) -> bool:
    """Say whether what lies there should be kept now: it is new, and rests (or has not rested for long)."""
    return bool(current) and current != committed and (current == previous or moving_seconds >= MOVING_SECONDS)


def snapshot(folder: Path, into: Path) -> Look | None:
    """Copy a folder as a whole and return what was copied; None, and no copy, where anything moved meanwhile."""
    before = look(folder)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    try:
        for name in before.files:
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, target)
    except OSError:
        if signature(folder) == before.files:
            raise
    if signature(folder) == before.files:
        return before
    shutil.rmtree(into, ignore_errors=True)
    return None


class Keeper:
    """Commits what appears in a script's checkpoint folder, one checkpoint at a time."""

    def __init__(self, storage: Storage, folder: Path, root: str, attempt_id: str, tell: Callable[[Committed], None]):
        self._storage, self._folder, self._attempt_id, self._tell = storage, folder, attempt_id, tell
        self._root = parse(root, DERIVED_LIMIT)
        self._copy = folder.parent / "checkpoint-copy"
        # What a retry starts with is a checkpoint already.
        self._committed = self._previous = signature(folder)
        self._moving_since: float | None = None
        self._is_half_sent = False
        self.kept: list[Committed] = []
        self._untold: list[Committed] = []

    def tick(self, now: float) -> Committed | None:
        """Look at the folder; commit what is due. `now` is a monotonic clock in seconds."""
        self._tell_all()
        current = signature(self._folder)
        if current == self._committed:
            self._moving_since = None
        elif self._moving_since is None:
            self._moving_since = now
        moving = now - self._moving_since if self._moving_since is not None else 0.0
        due = is_due(current, self._previous, self._committed, moving)
        self._previous = current
        done = self._commit() if due else None
        self._forget_old()
        return done

    def finish(self) -> Committed | None:
        """Commit what the script left when it ended, if that is new."""
        self._tell_all()
        current = signature(self._folder)
        done = self._commit() if current and current != self._committed else None
        self._forget_old()
        return done

    def _commit(self) -> Committed | None:
        taken = snapshot(self._folder, self._copy)
        if taken is None:
            return None
        number = self.kept[-1].number + 1 if self.kept else 1
        place = self._root / f"checkpoint-{number}"
        if self._is_half_sent:  # what a try that failed left there is not this snapshot, its marker least of all
            forget(self._storage, place)
        self._is_half_sent = True
        done = commit(self._storage, self._copy, place, self._attempt_id, number)
        done = replace(done, left_out=(*taken.left_out, *done.left_out))
        self._is_half_sent = False
        self._committed, self._moving_since = taken.files, None
        self.kept.append(done)
        self._untold.append(done)
        self._tell_all()
        return done

    def _forget_old(self) -> None:
        """Delete all but the newest; one that could not be deleted is tried at the next look, after what is due."""
        while len(self.kept) > KEEP:
            forget(self._storage, parse(self.kept[0].path, DERIVED_LIMIT))
            self.kept.pop(0)

    def _tell_all(self) -> None:
        """Tell of every commit, in order; one that could not be told is told before the next look."""
        while self._untold:
            self._tell(self._untold[0])
            self._untold.pop(0)
            # Not before: to whom a killed run did not tell of it, the copy proves that the folder is whole.
            shutil.rmtree(self._copy, ignore_errors=True)
