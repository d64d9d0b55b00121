"""The check that goes before every request: can the platform really read and write where the user says."""

import queue
import threading
import time
from dataclasses import dataclass

from blocks.storage.errors import StorageError
from blocks.storage.location import parse
from blocks.storage.storage import Storage

DEADLINE = 20.0
"""Seconds that all paths of one request have together; they are probed at the same time."""


@dataclass(frozen=True)
class Wanted:
    """One path of a request: its text, the field it was typed into, and whether it will be written to."""

    path: str
    field: str
    write: bool


@dataclass(frozen=True)
class AccessFault:
    """One path that cannot be used: what is wrong with it, and what its user can do."""

    field: str
    path: str
    problem: str
    remedy: str


def check(storage: Storage, wanted: list[Wanted], deadline: float = DEADLINE) -> list[AccessFault]:
    """Probe every path and return every fault, in the order of `wanted`; nothing is left behind where it writes.

    A path to read must hold at least one file. A server that is away, or does not answer within `deadline` seconds,
    is a fault like any other.
    """
    answers: queue.SimpleQueue[tuple[int, AccessFault | Exception | None]] = queue.SimpleQueue()

    def answer(index: int) -> None:
        try:
            answers.put((index, _probe(storage, wanted[index])))
        except Exception as error:  # noqa: BLE001 (raised again below, in the caller's thread)
            answers.put((index, error))

    # daemons: a mount that hangs for ever holds its thread, and must not hold the process
    for index in range(len(wanted)):
        threading.Thread(target=answer, args=(index,), name=f"probe-{index}", daemon=True).start()
    found: dict[int, AccessFault | Exception | None] = {}
    end = time.monotonic() + deadline
    while len(found) < len(wanted):
        try:
            index, outcome = answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        found[index] = outcome
    faults: list[AccessFault] = []
    for index, one in enumerate(wanted):
        outcome = found.get(index, _too_slow(one, deadline))
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            faults.append(outcome)
    return faults


def _probe(storage: Storage, one: Wanted) -> AccessFault | None:
    try:
        storage.probe(parse(one.path), one.write)
    except StorageError as error:
        return AccessFault(one.field, one.path, error.problem, error.remedy)
    return None


def _too_slow(one: Wanted, deadline: float) -> AccessFault:
    problem = f"{one.path} did not answer within {deadline:g} seconds."
    return AccessFault(one.field, one.path, problem, "Try again later, or name another path.")
