"""What leaves the instance while the script runs: checkpoints, and TensorBoard's files."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from blocks.errors import Permanent, Temporary
from blocks.pools import open_files
from blocks.storage.location import DERIVED_LIMIT, parse
from flows.markdown import size
from flows.training.checkpoints.checkpoint import Committed
from flows.training.checkpoints.keeper import Keeper, Kept
from flows.training.checkpoints.snapshot import Signature, signature
from flows.training.checkpoints.start import copy_folder, part_of, read_start
from flows.training.instances.instance import Instance
from flows.training.instances.mirror import mirror

TICK_SECONDS = 1.0
SCALARS_SECONDS = 15.0
BACK_OFF_SECONDS = 10.0
LAST_SECONDS = 120.0  # for what is left when the script has ended


class Uploads(threading.Thread):
    """Looks at the folders of an attempt's instances once a second, from the scripts' start to their end."""

    def __init__(self, instances: Sequence[Instance], mirrored: Path) -> None:
        super().__init__(name="uploads", daemon=True)
        self._instance, self._mirrored = instances[0], mirrored
        self._over = threading.Event()
        self._scalars_at = 0.0
        self._scalars_sent: Signature = {}
        self._told: set[str] = set()
        self._keeper = _keeper(instances, self._tell) if instances[0].assignment.checkpoints else None

    def run(self) -> None:
        """Go on until `finish`; a place that is away is tried again, and said once."""
        while not self._over.wait(TICK_SECONDS):
            if not self._instance.door.given_up.is_set() and not self._once(last=False):
                self._over.wait(BACK_OFF_SECONDS)

    def finish(self) -> None:
        """Send what is left, after the script has ended. An attempt that was given up sends nothing."""
        self._over.set()
        self.join()
        end = time.monotonic() + LAST_SECONDS
        while not self._instance.door.given_up.is_set():
            if self._once(last=True) or time.monotonic() > end:
                return
            time.sleep(TICK_SECONDS)

    def _once(self, *, last: bool) -> bool:
        """Look once; returns False where another look is needed soon. A fault of one does not stop the other."""
        steps = (self._checkpoint, self._scalars)
        return all([self._try(step, last) for step in steps])

    def _try(self, step: Callable[[bool], None], last: bool) -> bool:
        try:
            step(last)
        except Permanent as error:
            self._say_once(f"not uploaded: {error}")
            return last  # while the script runs a person may mend it; at the end nobody waits for that
        except Exception as error:  # noqa: BLE001 (this thread must outlive a full disk and a controller that is away)
            self._say_once(f"not uploaded: {error}" if isinstance(error, Temporary) else repr(error))
            return False
        return True

    def _say_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            with suppress(Exception):
                self._instance.log.say(text, "WARNING")
                self._instance.door.warn(f"Warning: {text}")

    def _checkpoint(self, last: bool) -> None:
        if self._keeper is not None:
            self._keeper.finish() if last else self._keeper.tick(time.monotonic())

    def _scalars(self, last: bool) -> None:
        source = self._instance.folders.tensorboard
        mirror(source, self._mirrored)
        if not last and time.monotonic() - self._scalars_at < SCALARS_SECONDS:
            return
        current, sent = signature(source), self._scalars_sent
        old = {name for name, state in current.items() if sent.get(name) == state}
        if len(old) < len(current):
            self._instance.door.make_sure()  # its place is that of all attempts
            place = parse(f"{self._instance.assignment.output}/tensorboard/", DERIVED_LIMIT)
            self._instance.storage.upload(source, place, skip=old.__contains__)
        self._scalars_at, self._scalars_sent = time.monotonic(), current

    def _tell(self, kept: Committed) -> None:
        self._instance.door.checkpoint(kept)
        unchanged = f", {size(kept.unchanged)} of it unchanged" if kept.unchanged else ""
        self._instance.log.say(
            f"checkpoint {kept.number}: {kept.files} file(s), {size(kept.bytes)}{unchanged}, committed"
        )
        for left_out in kept.left_out:
            self._instance.log.say(f"not in checkpoint {kept.number}: {left_out}", "WARNING")


def _keeper(instances: Sequence[Instance], tell: Callable[[Committed], None]) -> Keeper:
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
    )
