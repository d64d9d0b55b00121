"""How much data an instance must hold, as far as a person can be made to wait for the answer."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from blocks.catalogue.catalogue import GIB
from blocks.storage.store import Entry
from flows.faults import Fault


@dataclass(frozen=True)
class Count:
    """The bytes of one data set; where the time was over before its last file, those of the files before."""

    name: str
    bytes: int
    is_whole: bool = True

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.name} {'' if self.is_whole else 'at least '}{self.bytes / GIB:.1f} GB"


def count(name: str, entries: Iterable[Entry], end: float, now: Callable[[], float] = time.monotonic) -> Count:
    """Add up the files of a data set until the clock `now` is past `end`; raise what listing them raises."""
    total = 0
    for entry in entries:
        total += entry.size
        if now() > end:
            return Count(name, total, is_whole=False)
    return Count(name, total)


def faults(counts: Sequence[Count], limit: int | None) -> list[Fault]:
    """Return a fault where the data is larger than the data storage (GB); None is a storage that is refused itself."""
    total = sum(one.bytes for one in counts)
    if limit is None or limit < 1 or total <= limit * GIB:
        return []
    each = ", ".join(map(str, counts))
    remedy = f"Give at least {-(-total // GIB)}."
    return [Fault("data_storage_gb", limit, f"the data sets need more: {each}", remedy)]


def warnings(counts: Sequence[Count], seconds: float) -> list[str]:
    """Say what could not be counted in time: whether it fits is then known only when it is copied."""
    partly = [str(one) for one in counts if not one.is_whole]
    if not partly:
        return []
    return [
        f"not all data could be counted in {seconds:g} s: {', '.join(partly)}. If it is larger than the data storage, "
        "the training fails when it is copied."
    ]
