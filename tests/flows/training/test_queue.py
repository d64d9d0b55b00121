"""Whose turn it is."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.catalogue.catalogue import GIB, Gpu, Machine
from blocks.records.words import Reason
from flows.training.ends.retries import BACK_OFF, JITTER
from flows.training.queue import LONGEST, Held, Turn, Want, take_turns

NOW = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
NEVER = NOW + LONGEST + timedelta(seconds=1)


def want(name: str, memory: float, gpus: int = 0, not_before: datetime | None = None) -> Want:
    return Want(f"tr-{name}", name, int(memory * GIB), gpus, not_before)


def held(name: str, memory: float, *gpus: str) -> Held:
    return Held(name, int(memory * GIB), gpus)


def of_kind(kind: str, count: int, first: int = 0) -> tuple[Gpu, ...]:
    return tuple(Gpu(str(first + index), f"NVIDIA {kind}") for index in range(count))


def turn(waiting: list[Want], out: list[Held], memory: float = 4, gpus: int = 2) -> Turn:
    return take_turns(waiting, out, Machine(2, int(memory * GIB), of_kind("H100", gpus)), NOW)


@pytest.mark.parametrize(
    ("waiting", "out", "starts"),
    [
        ([], [], []),
        ([want("a", 4)], [], ["a"]),
        ([want("a", 2), want("b", 2)], [], ["a", "b"]),
        ([want("a", 2), want("b", 3), want("c", 1)], [], ["a"]),  # b's rest is kept for it
        ([want("a", 2)], [held("x", 3)], []),
        ([want("a", 2), want("b", 1)], [held("x", 3)], []),
        ([want("a", 1, 2), want("b", 1, 0)], [held("x", 1, "0")], ["b"]),  # b takes nothing that a needs
        ([want("a", 1, 2), want("b", 1, 1)], [held("x", 1, "0")], []),  # GPU 1 is kept for a
        ([want("a", 1, 2), want("b", 3, 0)], [held("x", 1, "0")], []),
        ([want("a", 3, 0, LATER), want("b", 4)], [], ["b"]),  # one that waits for its next try blocks nobody
        ([want("a", 3, 0, NOW), want("b", 4)], [], ["a"]),
        ([want("a", 3, 0, NOW + LONGEST), want("b", 4)], [], ["b"]),
        ([want("a", 3, 0, NEVER), want("b", 4)], [], ["a"]),  # noted before the clock was set back
        ([want("a", 5), want("b", 4)], [], ["b"]),  # what the machine can never hold blocks nobody
        ([want("a", 1, 3), want("b", 4, 2)], [], ["b"]),
        ([want("a", 1)], [held("x", 6)], []),  # leases from when the machine was larger
    ],
)
def test_who_starts(waiting: list[Want], out: list[Held], starts: list[str]):
    """First come, first served; those behind take only what nobody ahead needs."""
    assert list(turn(waiting, out).grants) == [f"tr-{name}" for name in starts]


@pytest.mark.parametrize(
    ("waiting", "out", "told"),
    [
        ([want("a", 2)], [held("x", 3)], "waits for 2.0 GiB of memory (1.0 GiB are free), held by x"),
        ([want("a", 1, 2)], [held("x", 1, "0")], "waits for 2 GPU(s) (1 are free), held by x"),
        (
            [want("a", 1, 2)],
            [held("x", 1, "0"), held("y", 1)],
            "waits for 2 GPU(s) (1 are free), held by x",
        ),
        ([want("a", 3, 1), want("b", 2), want("c", 1)], [], "1.0 GiB are free); before it in the queue"),
        ([want("a", 2)], [held(f"x{n}", 1) for n in range(4)], "held by x0, x1, x2 and 1 more"),
        ([want("a", 1, 0, LATER)], [], "is tried again at 12:00:30 UTC"),
        ([want("a", 3, 0, NEVER)], [held("x", 2)], "waits for 3.0 GiB of memory (2.0 GiB are free), held by x"),
        ([want("a", 5)], [], "waits for a larger machine: this one has 4.0 GiB of memory and 2 GPU(s) in all"),
    ],
)
def test_what_the_others_are_told(waiting: list[Want], out: list[Held], told: str):
    """What is missing, how much of it is free, who holds it, who is ahead."""
    if told.endswith("queue"):
        assert "before it in the queue: b" in turn(waiting, out).waits["tr-c"]
    else:
        assert told in turn(waiting, out).waits["tr-a"]


def test_who_holds_what_is_looked_up_once():
    """However many wait for it: each is told of the same."""

    class Leases(list[Held]):
        looked = 0

        def __iter__(self) -> Iterator[Held]:
            self.looked += 1
            return super().__iter__()

    counts: list[int] = []
    for waiting in (1, 100):
        out = Leases([held("x", 4, "0")])
        turn([want(str(number), 1) for number in range(waiting)], out)
        counts.append(out.looked)
    assert counts[0] == counts[1]


def test_gpus_are_those_of_the_kind():
    """On a machine with several kinds each gets its own, and one that waits for another kind blocks nobody."""
    machine = Machine(2, 8 * GIB, of_kind("A100", 1) + of_kind("H100", 2, first=1))
    kinds = {"a": "H100", "b": "h100", "c": "A100", "d": "B200"}
    waiting = [replace(want(name, 1, 1), gpu_kind=kind) for name, kind in kinds.items()]
    found = take_turns(waiting, [held("x", 1, "1")], machine, NOW)
    assert found.grants == {"tr-a": ("2",), "tr-c": ("0",)}
    assert "waits for 1 GPU(s) (0 are free)" in found.waits["tr-b"]
    assert "0 GPU(s) B200 in all" in found.waits["tr-d"]


def test_gpus_are_those_that_nobody_holds():
    """Indices are given in order, past those that are out."""
    found = turn([want("a", 1, 1), want("b", 1, 2)], [held("x", 0, "1")], gpus=4)
    assert found.grants == {"tr-a": ("0",), "tr-b": ("2", "3")}


SIZES = st.integers(0, 8).map(lambda quarter: quarter * GIB // 4)
MACHINES = st.builds(
    Machine, st.just(2), st.integers(0, 6).map(lambda n: n * GIB), st.integers(0, 4).map(lambda n: of_kind("H100", n))
)


@st.composite
def queues(draw: st.DrawFn) -> tuple[list[Want], list[Held], Machine]:
    """A machine, leases that it can hold, and up to eight who wait."""
    machine = draw(MACHINES)
    free, gpus, out = machine.memory_bytes, [gpu.index for gpu in machine.gpus], list[Held]()
    for number in range(draw(st.integers(0, 3))):
        memory, count = min(draw(SIZES), free), min(draw(st.integers(0, 2)), len(gpus))
        out.append(Held(f"held-{number}", memory, tuple(gpus[:count])))
        free, gpus = free - memory, gpus[count:]
    moments = st.sampled_from([None, NOW - timedelta(1), LATER, NEVER])
    waiting = [
        Want(f"tr-{number}", f"w{number}", draw(SIZES), draw(st.integers(0, 4)), draw(moments))
        for number in range(draw(st.integers(0, 8)))
    ]
    return waiting, out, machine


def in_turn(waiting: list[Want], machine: Machine) -> list[Want]:
    """Return those that count: their time has come, and the machine could hold them."""
    return [
        one
        for one in waiting
        if one.not_before != LATER and one.memory_bytes <= machine.memory_bytes and one.gpus <= len(machine.gpus)
    ]


@pytest.mark.parametrize("reason", list(BACK_OFF))
def test_every_back_off_is_waited_for(reason: Reason):
    """No wait that a verdict sets is so long that it is taken for one of before a clock was set back."""
    assert timedelta(seconds=max(BACK_OFF[reason]) * (1 + JITTER)) <= LONGEST


@given(queues())
def test_never_more_is_given_out_than_there_is(queue: tuple[list[Want], list[Held], Machine]):
    """With the leases that are out, memory and GPUs stay within the machine; no GPU is given twice."""
    waiting, out, machine = queue
    found = take_turns(waiting, out, machine, NOW)
    sizes = {one.training_id: one for one in waiting}
    granted = [sizes[training_id] for training_id in found.grants]
    assert sum(one.memory_bytes for one in [*granted, *out]) <= machine.memory_bytes
    given_out = [gpu for gpus in [*found.grants.values(), *(lease.gpus for lease in out)] for gpu in gpus]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) <= {gpu.index for gpu in machine.gpus}
    assert all(len(found.grants[one.training_id]) == one.gpus for one in granted)


@given(queues())
def test_everyone_starts_or_is_told_why(queue: tuple[list[Want], list[Held], Machine]):
    """Each who waits is in exactly one of the two answers, and nobody else is."""
    waiting, out, machine = queue
    found = take_turns(waiting, out, machine, NOW)
    ids = {one.training_id for one in waiting}
    assert found.grants.keys() | found.waits.keys() == ids
    assert not found.grants.keys() & found.waits.keys()
    assert all(found.waits.values())


@given(queues())
def test_nobody_starts_at_the_cost_of_one_ahead(queue: tuple[list[Want], list[Held], Machine]):
    """Who starts takes, of memory and of GPUs, only what is left beside all that those ahead of it want."""
    waiting, out, machine = queue
    found = take_turns(waiting, out, machine, NOW)
    memory = machine.memory_bytes - sum(lease.memory_bytes for lease in out)
    gpus = len(machine.gpus) - sum(len(lease.gpus) for lease in out)
    for one in in_turn(waiting, machine):
        memory, gpus = memory - one.memory_bytes, gpus - one.gpus
        if one.training_id in found.grants:
            assert memory >= 0 or not one.memory_bytes
            assert gpus >= 0 or not one.gpus


@given(queues())
def test_who_comes_later_changes_nothing_for_those_ahead(queue: tuple[list[Want], list[Held], Machine]):
    """The answer for the first of a queue is the same, whoever stands behind them."""
    waiting, out, machine = queue
    whole = take_turns(waiting, out, machine, NOW)
    for length in range(len(waiting)):
        part = take_turns(waiting[:length], out, machine, NOW)
        assert all(whole.grants.get(one) == gpus for one, gpus in part.grants.items())
        assert part.waits.keys() <= whole.waits.keys()


@given(queues())
def test_what_is_free_for_the_first_is_not_withheld(queue: tuple[list[Want], list[Held], Machine]):
    """The first whose time has come starts if it fits beside what is out."""
    waiting, out, machine = queue
    counted = in_turn(waiting, machine)
    if counted:
        first = counted[0]
        fits = first.memory_bytes <= machine.memory_bytes - sum(lease.memory_bytes for lease in out)
        fits = fits and first.gpus <= len(machine.gpus) - sum(len(lease.gpus) for lease in out)
        assert (first.training_id in take_turns(waiting, out, machine, NOW).grants) == fits


@settings(max_examples=60)
@given(queues(), st.data())
def test_nobody_starves(queue: tuple[list[Want], list[Held], Machine], data: st.DataObject):
    """While others keep coming, the first starts at the latest when all that was out before it has ended."""
    waiting, out, machine = queue
    waiting = in_turn([replace(one, not_before=None) for one in waiting], machine)
    if not waiting:
        return
    first, before, behind = waiting[0], list(out), list[Held]()
    for number in range(20):
        found = take_turns(waiting, [*before, *behind], machine, NOW)
        if first.training_id in found.grants:
            return
        assert before, "nothing that was out before it is out any more"
        behind += [
            Held(one.name, one.memory_bytes, found.grants[one.training_id])
            for one in waiting
            if one.training_id in found.grants
        ]
        waiting = [one for one in waiting if one.training_id not in found.grants]
        newcomer = Want(f"tr-new-{number}", "new", data.draw(SIZES), data.draw(st.integers(0, 4)))
        waiting += in_turn([newcomer], machine)
        before.pop(data.draw(st.integers(0, len(before) - 1)))
