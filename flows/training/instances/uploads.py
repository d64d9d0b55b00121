"""What leaves the instance while the script runs: checkpoints, and TensorBoard's files."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from blocks.errors import Permanent, Temporary
from blocks.pools import open_files
from blocks.storage.store import Progress
from flows.markdown import size
from flows.training.checkpoints.checkpoint import Committed
from flows.training.checkpoints.keeper import Keeper, Kept
from flows.training.checkpoints.start import copy_folder, part_of, read_start
from flows.training.instances.curves import Curves
from flows.training.instances.door import GivenUp
from flows.training.instances.instance import Instance
from flows.training.instances.staging import SHOWN_SKIPPED

TICK_SECONDS = 1.0
BACK_OFF_SECONDS = 10.0
LAST_SECONDS = 120.0  # of tries, for what is left when the scripts have ended
STALLED_SECONDS = 600.0  # in which nothing moves, after which a place that hangs is not waited for any more

NOT_UPLOADED = "not uploaded"
DOES_NOT = {"_forget": "an older checkpoint is still there"}  # what else a step that fails has not done


class Uploads(threading.Thread):
    """Looks at the folders of an attempt's instances once a second, from the scripts' start to their end."""

    def __init__(self, instances: Sequence[Instance], mirrored: Path) -> None:
        super().__init__(name="uploads", daemon=True)
        self._instance = instances[0]
        self._over, self._leaves_checkpoints = threading.Event(), threading.Event()
        self._curves = Curves(instances[0], mirrored, self._moved, self._leave_out)
        self._told: set[tuple[str, type]] = set()
        self._left_out: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._is_whole = True
        self._moved_at = 0.0
        self._keeper = _keeper(instances, self._tell, self._moved) if instances[0].assignment.checkpoints else None

    def run(self) -> None:
        """Go on until `finish`, and then send what is left; a place that is away is tried again, and said once.

        An attempt that was given up sends nothing.
        """
        while not self._over.wait(TICK_SECONDS):
            if not self._instance.door.given_up.is_set():
                self._once(last=False)

        end = time.monotonic() + LAST_SECONDS
        while not self._instance.door.given_up.is_set():
            if self._once(last=True) or time.monotonic() > end:
                return
            time.sleep(TICK_SECONDS)

    def leave_checkpoints(self) -> None:
        """Take no more checkpoints before `finish`, which knows how the scripts have ended."""
        self._leaves_checkpoints.set()

    def finish(self, *, is_whole: bool) -> None:
        """Wait until what is left is sent, after the scripts have ended; `is_whole` where none of them was killed."""
        self._is_whole, self._moved_at = is_whole, time.monotonic()
        self._over.set()
        while self.is_alive():
            self.join(TICK_SECONDS)
            if time.monotonic() - self._moved_at > STALLED_SECONDS:
                self._say_once("", TimeoutError(f"nothing has moved for {STALLED_SECONDS:.0f} s"))
                return

    def _moved(self, _done: int, _total: int) -> None:
        """Take note that something is sent; raise where it does not count any more."""
        self._moved_at = time.monotonic()
        if self._instance.door.given_up.is_set():
            raise GivenUp("This attempt was given up.")

    def _once(self, *, last: bool) -> bool:
        """Look once; returns False where a step is to be taken again. A fault of one does not stop the others."""
        steps = (self._checkpoint, self._forget, self._mirror, self._scalars)
        return all([self._try(step, last) for step in steps])

    def _try(self, step: Callable[[bool], None], last: bool) -> bool:
        """Take a step, unless it failed a short while ago: each waits for itself, at the end none."""
        name = step.__name__
        if not last and time.monotonic() < self._not_before.get(name, 0.0):
            return False
        try:
            step(last)
        except Exception as error:  # noqa: BLE001 (this thread must outlive a full disk and a controller that is away)
            self._say_once(name, error)
            self._not_before[name] = time.monotonic() + BACK_OFF_SECONDS
            # While the script runs a person may mend what is refused; at the end nobody waits for that, nor for what
            # a later attempt, or `reconcile`, deletes as well.
            return last and (isinstance(error, Permanent) or step == self._forget)
        return True

    def _say_once(self, step: str, error: Exception) -> None:
        """Tell of a fault; the same of the same step only once, for each try names another file."""
        if (step, type(error)) not in self._told:
            self._told.add((step, type(error)))
            said = error if isinstance(error, Permanent | Temporary | TimeoutError) else repr(error)
            self._say(f"{DOES_NOT.get(step, NOT_UPLOADED)}: {said}")

    def _leave_out(self, name: str, reason: str) -> None:
        """Tell of a file that is left out, once; of many only the log has all."""
        if name not in self._left_out:
            self._left_out.add(name)
            self._say(f"{NOT_UPLOADED}: {reason}", warns=len(self._left_out) <= SHOWN_SKIPPED)

    def _say(self, what: str, *, warns: bool = True) -> None:
        with suppress(Exception):
            self._instance.log.say(what, "WARNING")
            if warns:
                self._instance.door.warn(f"Warning: {what}")

    def _checkpoint(self, last: bool) -> None:
        if self._keeper is None:
            return
        if last:
            self._keeper.finish(is_whole=self._is_whole)
        elif not self._leaves_checkpoints.is_set():
            self._keeper.tick(time.monotonic())

    def _forget(self, _last: bool) -> None:
        if self._keeper is not None:
            self._keeper.forget_old()

    def _mirror(self, _last: bool) -> None:
        self._curves.mirror()

    def _scalars(self, last: bool) -> None:
        self._curves.send(at_once=last)

    def _tell(self, kept: Committed) -> None:
        self._instance.door.checkpoint(kept)
        unchanged = f", {size(kept.unchanged)} of it unchanged" if kept.unchanged else ""
        self._instance.log.say(
            f"checkpoint {kept.number}: {kept.files} file(s), {size(kept.bytes)}{unchanged}, committed"
        )
        for left_out in kept.left_out:
            self._instance.log.say(f"not in checkpoint {kept.number}: {left_out}", "WARNING")


def _keeper(instances: Sequence[Instance], tell: Callable[[Committed], None], progress: Progress) -> Keeper:
    first = instances[0]
    assignment = first.assignment
    folders = [one.folders.checkpoint for one in instances]
    return Keeper(
        first.storage,
        [part_of(one.root, one.rank.index, one.rank.count) for one in instances],
        copy_folder(first.root.parent),
        Kept(
            assignment.attempt_id,
            assignment.checkpoints,
            assignment.spec.checkpoints_kept,
            earlier=assignment.resume_from[::-1],
            before=first.resumed,
            made_from=read_start(first.root).made_from,
        ),
        tell,
        is_being_written=lambda: open_files.is_being_written(assignment.attempt_id, folders),
        make_sure=first.door.make_sure,
        progress=progress,
    )
