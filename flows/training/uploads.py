"""What leaves the instance while the script runs: checkpoints, and TensorBoard's files."""

import threading
import time
from pathlib import Path

from blocks.errors import Permanent, Temporary
from blocks.storage.location import DERIVED_LIMIT, parse
from flows.training.checkpoint import Committed, Keeper
from flows.training.instance import Instance
from flows.training.mirror import mirror

TICK_SECONDS = 1.0
SCALARS_SECONDS = 15.0
BACK_OFF_SECONDS = 10.0


class Uploads(threading.Thread):
    """Looks at an instance's folders once a second, from the script's start to its end."""

    def __init__(self, instance: Instance, mirrored: Path) -> None:
        super().__init__(name="uploads", daemon=True)
        self._instance, self._mirrored = instance, mirrored
        self._over = threading.Event()
        self._scalars_at = 0.0
        self._told: set[str] = set()
        self._keeper: Keeper | None = None
        root = instance.assignment.checkpoints
        if root and instance.rank.index == 0:
            self._keeper = Keeper(
                instance.storage, instance.folders.checkpoint, root, instance.assignment.attempt_id, self._tell
            )

    def run(self) -> None:
        """Go on until `finish`; a place that is away is tried again, and said once."""
        while not self._over.wait(TICK_SECONDS):
            if not self._instance.door.given_up.is_set() and not self._once(last=False):
                self._over.wait(BACK_OFF_SECONDS)

    def finish(self) -> None:
        """Send what is left, after the script has ended. An attempt that was given up sends nothing."""
        self._over.set()
        self.join()
        if not self._instance.door.given_up.is_set():
            self._once(last=True)

    def _once(self, *, last: bool) -> bool:
        try:
            self._checkpoint(last)
            self._scalars(last)
        except (Permanent, Temporary, OSError) as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                self._instance.log.say(f"not uploaded: {error}", "WARNING")
                self._instance.door.warn(f"Warning: not uploaded: {error}")
            return False
        return True

    def _checkpoint(self, last: bool) -> None:
        if self._keeper is not None:
            self._keeper.finish() if last else self._keeper.tick(time.monotonic())

    def _scalars(self, last: bool) -> None:
        if self._instance.rank.index != 0:
            return
        source = self._instance.folders.tensorboard
        mirror(source, self._mirrored)
        due = last or time.monotonic() - self._scalars_at > SCALARS_SECONDS
        if due and any(source.iterdir()):
            self._scalars_at = time.monotonic()
            place = parse(f"{self._instance.assignment.output}/tensorboard/", DERIVED_LIMIT)
            self._instance.storage.upload(source, place)

    def _tell(self, kept: Committed) -> None:
        self._instance.log.say(
            f"checkpoint {kept.number}: {kept.files} file(s), {kept.bytes / 2**20:.1f} MiB, committed"
        )
        for left_out in kept.left_out:
            self._instance.log.say(f"not in checkpoint {kept.number}: {left_out}", "WARNING")
        self._instance.door.checkpoint(kept.number, kept.path, kept.files, kept.bytes)
