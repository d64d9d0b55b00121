"""Which signal is due to whom, and why a script must end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.launcher.ending import Ending, cause_of


@pytest.mark.parametrize(
    ("elapsed", "main_lives", "expected"),
    [
        (0, True, "main"),
        (0, False, "all"),
        (19.9, True, "main"),
        (20, True, "all"),
        (24.9, False, "all"),
        (25, True, "kill"),
    ],
)
def test_due(elapsed, main_lives, expected):
    """The main process first; everyone when it is gone or five seconds before the end; then the kill."""
    assert Ending("stopped", 1000.0, 25.0).due(1000.0 + elapsed, main_lives) == expected


@pytest.mark.parametrize(("elapsed", "expected"), [(0, "all"), (1.9, "all"), (2, "kill")])
def test_everyone_at_once(elapsed, expected):
    """For want of memory nobody goes first."""
    assert Ending("memory", 0.0, 2.0, everyone_at_once=True).due(elapsed, True) == expected


def test_no_grace_is_a_kill():
    """With a grace of 0 the kill is due at once."""
    assert Ending("stopped", 5.0, 0.0).due(5.0, True) == "kill"


@given(st.floats(0, 30), st.floats(0, 100), st.floats(0, 100), st.booleans())
def test_it_never_goes_back(grace, first, second, at_once):
    """Later is never milder, and nobody is killed before the grace is over."""
    order = ["main", "all", "kill"]
    ending = Ending("stopped", 0.0, grace, at_once)
    early, late = sorted((first, second))
    assert order.index(ending.due(early, True)) <= order.index(ending.due(late, True))
    assert (ending.due(early, True) == "kill") == (early >= grace)


@pytest.mark.parametrize(
    ("stop", "parent", "now", "deadline", "memory", "expected"),
    [
        (False, True, 9, 0, "within", ""),
        (False, True, 9, 10, "within", ""),
        (False, True, 10, 10, "within", "deadline"),
        (True, True, 10, 10, "within", "stopped"),
        (True, False, 10, 10, "within", "orphaned"),
        (True, False, 10, 10, "over", "memory"),
        (False, True, 0, 0, "far", "memory"),
    ],
)
def test_cause(stop, parent, now, deadline, memory, expected):
    """Memory before the parent's death, that before the wish to stop, that before the clock."""
    assert cause_of(stop, parent, now, deadline, memory) == expected
