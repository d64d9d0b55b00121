"""How much data an instance must hold."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count as numbers

import pytest

from blocks.catalogue.catalogue import GIB
from blocks.storage.store import Entry
from flows.training.data_size import Count, count, faults, warnings


def files() -> Iterator[Entry]:
    """A data set without an end, of 1 GB a file."""
    return (Entry(str(number), GIB, "", datetime.now(UTC)) for number in numbers())


def test_counting_ends_with_its_time():
    """A list that never ends is counted until the deadline, and said to be counted in part."""
    clock = iter(range(100))
    assert count("d", files(), end=4, now=lambda: next(clock)) == Count("d", 6 * GIB, is_whole=False)


def test_what_is_counted_whole_has_no_warning():
    """It is the sum of its files."""
    assert count("d", [], end=0) == Count("d", 0)
    assert warnings([Count("d", 5)], 10) == []


@pytest.mark.parametrize(
    ("counts", "limit", "said"),
    [
        ([Count("a", GIB), Count("b", GIB)], 2, None),
        ([Count("a", GIB), Count("b", GIB + 1)], 2, "a 1.0 GB, b 1.0 GB. Give at least 3."),
        ([Count("a", 3 * GIB, is_whole=False)], 2, "a at least 3.0 GB. Give at least 3."),
        ([Count("a", 3 * GIB)], None, None),
        ([Count("a", 3 * GIB)], 0, None),
        ([], 1, None),
    ],
)
def test_all_data_sets_share_the_data_storage(counts: list[Count], limit: int | None, said: str | None):
    """The fault says how large each is, as far as it is known, and what to give."""
    told = [str(fault) for fault in faults(counts, limit)]
    assert told == [] if said is None else said in told[0]


def test_what_is_not_known_is_told():
    """Only what was counted in part is in the warning, with the seconds that were given."""
    (told,) = warnings([Count("a", GIB), Count("b", GIB, is_whole=False)], 10)
    assert "counted in 10 s: b at least 1.0 GB." in told
