"""Whose end counts: that of the instance that failed first, however the ends arrive."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.training.ends.evidence import Cause, Evidence
from flows.training.ends.first_failure import OURS, InstanceEnd, broke_off, first_failure, is_success

TORCHRUN = (
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:",
    "Root Cause (first observed failure):",
    "[0]:",
    "  time      : 2026-11-30_09:00:00",
    "  host      : here",
    "  rank      : 1 (local_rank: 1)",
    "  exitcode  : {} (pid: 1234)",
)


def torchrun(code: int) -> Evidence:
    return Evidence(Cause.EXIT, exit_code=1, last_lines=tuple(line.format(code) for line in TORCHRUN))


GOOD = Evidence(Cause.EXIT, exit_code=0)
ERROR, OTHER = Evidence(Cause.EXIT, exit_code=1), Evidence(Cause.EXIT, exit_code=7)
KILLED, CRASHED = Evidence(Cause.EXIT, signal=9), Evidence(Cause.EXIT, signal=11)
ABORTED, PIPE = Evidence(Cause.EXIT, signal=6), Evidence(Cause.EXIT, signal=13)
PASSED_ON = Evidence(Cause.EXIT, exit_code=137)
MEMORY, LOST, PLATFORM = Evidence(Cause.MEMORY, signal=9), Evidence(Cause.LOST), Evidence(Cause.PLATFORM)
STOPPED, DEADLINE = Evidence(Cause.STOPPED, exit_code=1), Evidence(Cause.DEADLINE, exit_code=0)
End = InstanceEnd
NEVER = math.inf


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], Evidence(Cause.STOPPED)),
        ([End(GOOD, 1)], GOOD),
        ([End(GOOD, 1), End(GOOD, 2)], GOOD),
        ([End(ERROR, 1)], ERROR),
        ([End(GOOD, 1), End(ERROR, 2)], ERROR),
        ([End(OTHER, 1), End(ERROR, 1.001)], OTHER),
        ([End(ERROR, 1.001), End(OTHER, 1)], OTHER),
        ([End(ERROR, 1), End(STOPPED, 2, 1.1)], ERROR),
        ([End(GOOD, 1), End(STOPPED, 2, 1.1)], STOPPED),
        ([End(STOPPED, 2, 1), End(STOPPED, 3, 1)], STOPPED),
        ([End(ERROR, 1), End(KILLED, 1.001)], KILLED),
        ([End(ERROR, 1), End(MEMORY, 3)], MEMORY),
        ([End(ERROR, 1), End(CRASHED, 1.001)], CRASHED),
        ([End(ERROR, 1), End(PASSED_ON, 1.001)], PASSED_ON),
        ([End(ERROR, 1), End(LOST, 9)], LOST),
        ([End(ERROR, 1), End(PLATFORM, 1.001)], PLATFORM),
        ([End(KILLED, 1), End(MEMORY, 2)], KILLED),
        ([End(ERROR, 1), End(ABORTED, 1.001)], ERROR),
        ([End(ABORTED, 1), End(ERROR, 1.001)], ABORTED),
        ([End(ERROR, 1), End(PIPE, 1.001)], ERROR),
        ([End(ERROR, 1), End(torchrun(-9), 1.001)], torchrun(-9)),
        ([End(ERROR, 1), End(torchrun(1), 1.001)], ERROR),
        ([End(torchrun(3), 1), End(torchrun(-6), 1.001)], torchrun(3)),
        ([End(ERROR, 1.1), End(STOPPED, 5, 1.0)], STOPPED),
        ([End(ERROR, 1.1), End(STOPPED, 5, 1.2)], ERROR),
        ([End(KILLED, 1.1), End(STOPPED, 5, 1.0)], KILLED),
        ([End(ERROR, 1.1, 1.0)], ERROR),
        ([End(DEADLINE, 1), End(STOPPED, 2, 1.1)], DEADLINE),
        ([End(DEADLINE, 1), End(ERROR, 1.05)], DEADLINE),
        ([End(ERROR, 0.9), End(DEADLINE, 1)], ERROR),
    ],
)
def test_first_failure(ends, expected):
    """A kill, memory and what nobody saw before an exit code; a stop before what it caused; else who came first."""
    assert first_failure(ends) == expected


OF_ITSELF = [KILLED, CRASHED, PASSED_ON, MEMORY, LOST, PLATFORM, torchrun(-9)]
PERHAPS_A_PEERS = [ERROR, OTHER, ABORTED, PIPE, torchrun(1)]
STOPS = [STOPPED, DEADLINE, Evidence(Cause.ORPHANED), Evidence(Cause.CANCELLED)]


def ends_of(evidence: list[Evidence]) -> st.SearchStrategy[list[InstanceEnd]]:
    """Some ends of these kinds, no two at the same moment; nobody was told to end before the last of them."""
    one = st.tuples(st.sampled_from(evidence), st.integers(0, 1000))
    return st.lists(one, min_size=1, max_size=6, unique_by=lambda end: end[1]).map(
        lambda ends: [End(found, at) for found, at in ends]
    )


@given(ends_of([GOOD]))
def test_all_good_is_good(ends):
    """A success needs all of them."""
    assert is_success(first_failure(ends))


@given(ends_of([GOOD, *STOPS, *PERHAPS_A_PEERS]), st.integers(0, 1000), st.sampled_from(OF_ITSELF))
def test_what_no_peer_explains_counts_whenever_it_comes(ends, at, killed):
    """Exit codes, stops and successes do not outweigh it, however early they are."""
    assert first_failure([*ends, End(killed, at + 0.5)]) == killed


@pytest.mark.parametrize("kind", [OF_ITSELF, PERHAPS_A_PEERS])
@given(data=st.data())
def test_of_one_kind_the_first_counts(kind, data):
    """Among equals the order of arrival decides, beside as many successes as there are."""
    ends = data.draw(ends_of(kind))
    first = min(ends, key=lambda end: end.at)
    assert first_failure([End(GOOD, -1), *ends]) == first.evidence


@given(ends_of([*STOPS, GOOD, *PERHAPS_A_PEERS, *OF_ITSELF]), st.sampled_from(PERHAPS_A_PEERS))
def test_our_own_stops_never_win(ends, failed):
    """Where one had failed before we began to stop any, no stop of ours counts, nor the deadline."""
    assert first_failure([*ends, End(failed, -1)]).cause not in OURS


@given(
    ends_of([GOOD, *STOPS, *PERHAPS_A_PEERS, *OF_ITSELF]).flatmap(lambda e: st.tuples(st.just(e), st.permutations(e)))
)
def test_the_order_in_which_ends_are_collected_does_not_matter(both):
    """Only the moments count."""
    ends, shuffled = both
    assert first_failure(ends) == first_failure(shuffled)


@pytest.mark.parametrize(
    ("evidence", "broke"),
    [
        (Evidence(Cause.EXIT, exit_code=0), False),
        (Evidence(Cause.EXIT, exit_code=1), False),
        (Evidence(Cause.STOPPED, exit_code=143), False),  # it heard SIGTERM and ended by itself
        (Evidence(Cause.STOPPED, signal=15), True),
        (Evidence(Cause.STOPPED, signal=9), True),  # its grace was over
        (Evidence(Cause.EXIT, signal=9), True),
        (Evidence(Cause.EXIT, exit_code=137), True),  # a process of it was killed
        (Evidence(Cause.MEMORY, signal=9), True),
        (Evidence(Cause.LOST), True),
        (Evidence(Cause.PLATFORM, error="the launcher ended with -9"), True),  # and its script with it
    ],
)
def test_who_may_have_been_writing_when_it_died(evidence: Evidence, broke: bool):
    """Whoever ended by itself has written what it wrote; a signal comes in the middle of that."""
    assert broke_off(End(evidence, 0)) == broke


def test_a_process_that_is_killed_may_have_been_writing():
    """Also where the main process ended well: it may have left the saving to another."""
    assert broke_off(End(Evidence(Cause.STOPPED, exit_code=0), 0, killed=1))
