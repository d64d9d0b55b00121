"""TensorBoard's files of an attempt: mirrored for whoever looks now, and sent to where they stay."""

import time
from collections.abc import Callable
from pathlib import Path

from blocks.storage.location import DERIVED_LIMIT, parse
from blocks.storage.os_errors import os_faults
from blocks.storage.store import Progress
from blocks.storage.walk import walk
from flows.training.checkpoints.snapshot import Signature
from flows.training.instances.instance import Instance
from flows.training.instances.mirror import mirror

SEND_SECONDS = 15.0


class Curves:
    """Those of instance 0. What cannot be mirrored, such as a file that nobody may read, is not sent either."""

    def __init__(self, instance: Instance, mirrored: Path, moved: Progress, leave_out: Callable[[str, str], None]):
        """Look after the instance's files.

        Args:
            instance: whose they are.
            mirrored: where TensorBoard reads them.
            moved: told of what is sent.
            leave_out: told, at each look, of each file and folder that is left out, and why.
        """
        self._instance, self._mirrored, self._moved, self._leave_out = instance, mirrored, moved, leave_out
        self._source = instance.folders.tensorboard
        self._odd: set[str] = set()
        self._sent: Signature = {}
        self._sent_at = 0.0

    def mirror(self) -> None:
        """Bring the mirror up to date.

        Raises:
            blocks.storage.errors.StorageError: a disk is full or in trouble.
        """
        odd: set[str] = set()

        def leave_out(name: str, reason: str) -> None:
            odd.add(name)
            self._leave_out(name, reason)

        try:
            mirror(self._source, self._mirrored, leave_out)
        finally:
            self._odd = odd

    def send(self, *, at_once: bool) -> None:
        """Send what is new or has grown: every few seconds, or at once.

        Raises:
            blocks.storage.errors.StorageError: it could not be sent.
            flows.training.instances.door.DoorClosed: nobody knows whether its place is still ours.
        """
        if not at_once and time.monotonic() - self._sent_at < SEND_SECONDS:
            return
        current, odd = self._files(), self._odd
        old = {name for name, state in current.items() if self._sent.get(name) == state}
        if len(old) < len(current):
            self._instance.door.make_sure()  # its place is that of all attempts
            place = parse(f"{self._instance.assignment.output}/tensorboard/", DERIVED_LIMIT)
            self._instance.storage.upload(self._source, place, self._moved, skip=(old | odd).__contains__)
        self._sent_at, self._sent = time.monotonic(), current

    def _files(self) -> Signature:
        if not self._source.is_dir():
            return {}
        with os_faults(self._source, "look through"):
            found = walk(self._source, self._source, lambda _name, _reason: None, self._odd.__contains__)
            return {file.key: (file.status.st_size, file.status.st_mtime_ns) for file in found}
