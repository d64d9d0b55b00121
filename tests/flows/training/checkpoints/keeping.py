"""Keepers for tests, and a storage that breaks off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from blocks.storage.errors import Unreachable
from blocks.storage.location import Location
from blocks.storage.storage import Storage
from flows.training.checkpoints.checkpoint import Committed
from flows.training.checkpoints.keeper import Keeper, Kept
from flows.training.checkpoints.snapshot import Part

KEEP = 3
TRAINING = "tr-0123456789ab"


class Failing(Storage):
    """A real storage whose next calls of one verb break off after, or before, they did their work."""

    def __init__(self, verb: str, suffix: str, *, after: bool) -> None:
        super().__init__({}, {})
        self.verb, self.suffix, self.after, self.times = verb, suffix, after, 0

    def _broken(self, verb: str, place: Location, work: Callable[[], object]) -> object:
        fails = self.times > 0 and verb == self.verb and str(place).endswith(self.suffix)
        answer = work() if self.after or not fails else None
        if fails:
            self.times -= 1
            raise Unreachable("the answer was lost")
        return answer

    def write(self, place: Location, data: bytes, only_if_absent: bool = False) -> None:
        self._broken("write", place, lambda: Storage.write(self, place, data, only_if_absent))

    def upload(self, source: Path, place: Location, progress=None, skip=None):
        return self._broken("upload", place, lambda: Storage.upload(self, source, place, progress, skip))


def keeper(storage: Storage, folder: Path, there: Path, told: list[Committed]) -> Keeper:
    return watch_of(storage, [Part(folder)], there, told)


def watch_of(
    storage: Storage, parts: list[Part], there: Path, told: list[Committed], *, keep: int = KEEP, **more: Any
) -> Keeper:
    """Watch parts; what it asks may be given."""
    given = {key: more.pop(key) for key in ("is_being_written", "make_sure") if key in more}
    of = Kept(f"{TRAINING}-a1", f"file://{there}", keep, **more)
    return Keeper(storage, parts, parts[0].folder.parent / "checkpoint-copy", of, told.append, **given)
