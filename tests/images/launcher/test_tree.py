"""Which processes are the script's: by mark, by descent, by having been so before."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.launcher.proc import Process
from images.launcher.tree import deliver, members

ROOT = 10


def process(pid: int, parent: int, state: str = "S", started: int = 0) -> Process:
    return Process(pid, parent, state, 0, started, 0)


# 1 ─ 5 (flow) ─ 10 (launcher) ─ 11 (script) ─ 12;   5 ─ 20 (the flow's own);   1 ─ 30 (daemon) ─ 31; 1 ─ 40
WORLD = [
    *(process(1, 0), process(5, 1), process(ROOT, 5), process(11, ROOT), process(12, 11)),
    *(process(20, 5), process(30, 1), process(31, 30), process(40, 1)),
]


@pytest.mark.parametrize(
    ("marked", "known", "expected"),
    [
        ((), (), {11, 12}),
        ((12,), (), {11, 12}),
        ((30,), (), {11, 12, 30, 31}),
        ((31,), (), {11, 12, 31}),
        ((), ((30, 0),), {11, 12, 30, 31}),
        ((), ((30, 99),), {11, 12}),
        ((1, 5, ROOT), (), {11, 12}),
    ],
    ids=["descent", "mark inside", "marked daemon", "its child", "known", "number given away", "ancestors are spared"],
)
def test_members(marked, known, expected):
    """The tree is what descends from the launcher, what is marked and what was known, with all below."""
    found = members(WORLD, ROOT, set(known), lambda pid: pid in marked)
    assert {one.pid for one in found} == expected


def test_dead_do_not_count_but_their_children_do():
    """A zombie is no member; what it left below itself is."""
    world = [process(5, 1), process(ROOT, 5), process(11, ROOT, "Z"), process(12, 11)]
    assert [one.pid for one in members(world, ROOT, set(), lambda _: False)] == [12]


@given(
    st.dictionaries(st.integers(1, 30), st.integers(0, 30), min_size=1),
    st.sets(st.integers(1, 30)),
    st.integers(1, 30),
)
def test_launcher_and_what_is_above_it_are_never_members(parents, marked, root):
    """Whatever the table of processes says, loops too, the root and its ancestors are spared, all members are real."""
    parents.setdefault(root, 0)
    world = [process(pid, parent) for pid, parent in parents.items()]
    found = {one.pid for one in members(world, root, set(), lambda pid: pid in marked)}
    above, current = set(), root
    while current and current not in above:
        above.add(current)
        current = parents.get(current, 0)
    assert not found & above
    assert found <= set(parents)
    assert {pid for pid in marked if pid in parents and pid not in above} <= found


def test_signal_is_not_delivered_to_a_later_process_of_the_same_number():
    """A number that has been given to another process is left alone: this very process survives the signal."""
    deliver(process(os.getpid(), 0, started=1), 9)
