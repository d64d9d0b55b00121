"""Whose turn it is: first come, first served, without I/O.

Memory and GPUs are held; a vCPU is a share. What the longest waiting wants is kept for it: those behind it may only
take what it does not need, so nobody overtakes to another's cost and nobody starves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from blocks.catalogue.catalogue import GIB, Machine
from flows.training.ends.retries import LONGEST_SECONDS

LONGEST = timedelta(seconds=LONGEST_SECONDS)


@dataclass(frozen=True)
class Want:
    """What a waiting training needs for all of its instances; memory in bytes."""

    training_id: str
    name: str
    memory_bytes: int
    gpus: int
    not_before: datetime | None = None
    gpu_kind: str = ""


@dataclass(frozen=True)
class Held:
    """A lease that is out; memory in bytes, GPUs by their index."""

    name: str
    memory_bytes: int
    gpus: tuple[str, ...]


@dataclass(frozen=True)
class Turn:
    """Who starts now, with which GPUs, and what the others wait for."""

    grants: dict[str, tuple[str, ...]]
    waits: dict[str, str]


def take_turns(waiting: Sequence[Want], held: Sequence[Held], machine: Machine, now: datetime) -> Turn:
    """Decide who starts.

    Args:
        waiting: the trainings that want a machine, the longest waiting first.
        held: the leases that are out.
        machine: what there is in all.
        now: those whose `not_before` is later stay where they are in the queue and block nobody. One that lies
            further ahead than any back-off was noted before the machine's clock was set back: it counts no more.
    """
    turn = Turn({}, {})
    memory = machine.memory_bytes - sum(lease.memory_bytes for lease in held)
    taken = {gpu for lease in held for gpu in lease.gpus}
    free = [gpu for gpu in machine.gpus if gpu.index not in taken]
    ahead: list[str] = []
    holders = _Holders.of(held)
    for want in waiting:
        if want.not_before is not None and now < want.not_before <= now + LONGEST:
            turn.waits[want.training_id] = f"is tried again at {want.not_before:%H:%M:%S} UTC"
            continue
        of_its_kind = sum(gpu.is_a(want.gpu_kind) for gpu in machine.gpus)
        if want.memory_bytes > machine.memory_bytes or want.gpus > of_its_kind:
            # The machine has become smaller since it was asked for: what never comes must not hold up the others.
            has = f"{machine.memory_bytes / GIB:.1f} GiB of memory and {of_its_kind} GPU(s) {want.gpu_kind}".rstrip()
            turn.waits[want.training_id] = f"waits for a larger machine: this one has {has} in all"
            continue
        fitting = [gpu for gpu in free if gpu.is_a(want.gpu_kind)]
        if want.memory_bytes <= memory and want.gpus <= len(fitting):
            turn.grants[want.training_id] = tuple(gpu.index for gpu in fitting[: want.gpus])
        else:
            turn.waits[want.training_id] = _why(want, memory, len(fitting), holders, ahead)
            ahead.append(want.name)
        memory = max(0, memory - want.memory_bytes)
        free = [gpu for gpu in free if gpu not in fitting[: want.gpus]]
    return turn


class _Holders(NamedTuple):
    """Who holds memory, and who GPUs, in words: said once, however many wait."""

    of_memory: str
    of_gpus: str

    @classmethod
    def of(cls, held: Sequence[Held]) -> "_Holders":
        return cls(_few([one.name for one in held if one.memory_bytes]), _few([one.name for one in held if one.gpus]))


def _why(want: Want, memory: int, gpus: int, holders: _Holders, ahead: Sequence[str]) -> str:
    lacks: list[str] = []
    by = holders.of_memory
    if want.memory_bytes > memory:
        lacks.append(f"{want.memory_bytes / GIB:.1f} GiB of memory ({max(0, memory) / GIB:.1f} GiB are free)")
    if want.gpus > gpus:
        lacks.append(f"{want.gpus} GPU(s) ({gpus} are free)")
        by = holders.of_gpus if want.memory_bytes <= memory else by
    told = f"waits for {' and '.join(lacks)}"
    if by:
        told += f", held by {by}"
    return f"{told}; before it in the queue: {_few(ahead)}" if ahead else told


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
