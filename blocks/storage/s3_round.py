"""One round of transfers through s3transfer: a window of files under way, and what failed for a moment."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from s3transfer.exceptions import CancelledError
from s3transfer.subscribers import BaseSubscriber

from blocks.storage.errors import Unreachable
from blocks.storage.rounds import Left
from blocks.storage.store import THREADS, Meter

WINDOW = 64
"""Files that s3transfer holds at once: enough for all threads, whatever each file takes, and little memory."""
IN_A_ROW = THREADS
"""Failures without a success among them, as many as are made at once: the store is away, and the round is over."""

T = TypeVar("T")


class Count(BaseSubscriber):
    """Tells the meter what was transferred of one file.

    s3transfer takes back the bytes of a request that failed by a negative count, but not those of a file that did.
    """

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter, self._done, self._lock = meter, 0, threading.Lock()

    def on_progress(self, future: Any, bytes_transferred: int, **kwargs: Any) -> None:
        """See `BaseSubscriber`."""
        with self._lock:
            self._done += bytes_transferred
        self._meter.add(bytes_transferred)

    def take_back(self) -> None:
        """Count nothing for this file: it is to be transferred again."""
        with self._lock:
            done, self._done = self._done, 0
        if done:  # where nothing came, nothing has moved
            self._meter.add(-done)


@dataclass(frozen=True)
class _UnderWay(Generic[T]):
    item: T
    count: Count
    future: Any


def one_round(
    items: list[T],
    begin: Callable[[T, Count], Any],
    faults: Callable[[T], AbstractContextManager[None]],
    meter: Meter,
) -> Left[T]:
    """Transfer each item, a window of them at a time; a fault other than `Unreachable` is raised.

    Args:
        items: what to transfer.
        begin: hands an item to s3transfer's manager, which tells the count of every byte; returns the future.
        faults: translates what goes wrong with an item.
        meter: told of every byte that counts.
    """
    coming, under_way = iter(items), deque[_UnderWay[T]]()
    left: list[T] = []
    first: Unreachable | None = None
    in_a_row = 0
    while in_a_row < IN_A_ROW:
        for item in islice(coming, WINDOW - len(under_way)):
            count = Count(meter)
            under_way.append(_UnderWay(item, count, begin(item, count)))
        if not under_way:
            return left, first
        one = under_way.popleft()
        fault = _end(one, faults)
        first = first or fault
        in_a_row = in_a_row + 1 if fault else 0
        left += [one.item] if fault else []
    for one in under_way:
        one.future.cancel()
    left += [one.item for one in under_way if _end(one, faults)]
    return [*left, *coming], first


def _end(one: _UnderWay[T], faults: Callable[[T], AbstractContextManager[None]]) -> Unreachable | None:
    """Wait for the end of a transfer; return the fault where it is to be made again."""
    try:
        with faults(one.item):
            _wait(one.future)
    except Unreachable as fault:
        one.count.take_back()
        return fault
    return None


def _wait(future: Any) -> None:
    try:
        future.result()
    except CancelledError as error:
        raise Unreachable("The store was away before this file's turn came.") from error
