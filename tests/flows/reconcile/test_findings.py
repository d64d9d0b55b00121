"""Which attempts are dead, and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.run_states import OVER
from flows.reconcile.findings import (
    CLAIM,
    EXIT,
    FORGOTTEN,
    LEASE_WITHOUT_LIFE,
    NO_RUN,
    Finding,
    Repair,
    Seen,
    find,
    is_doubtful,
)
from flows.reconcile.hearing import Hearing
from flows.training.ends.verdict import Cause

NOW = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
LONG_AGO = NOW - timedelta(days=9)
LEASE = timedelta(seconds=15)
HEARD = Hearing(NOW, LONG_AGO, LEASE)
GRANTED = Seen("tr-1-a1", True, False, NOW - MOMENT, None, "", 0)
SUBMITTED = replace(GRANTED, submitted_at=NOW - MOMENT, run="SCHEDULED")
REFUSED = replace(GRANTED, refused="cannot be started: not deployed")
CLAIMED = replace(SUBMITTED, claimed=True, beat_at=NOW - MOMENT, run="RUNNING", processes=3)
ENDED = replace(CLAIMED, open=False, run="COMPLETED", processes=0)


def silent(seen: Seen, seconds: float) -> Seen:
    moment = NOW - timedelta(seconds=seconds)
    if seen.claimed:
        return replace(seen, beat_at=moment)
    return replace(seen, submitted_at=moment) if seen.submitted_at else replace(seen, granted_at=moment)


def taken(seconds: float, run: str) -> Seen:
    """A run that was submitted an age ago, and is in this state for so long."""
    return replace(silent(SUBMITTED, 500), run=run, run_since=NOW - timedelta(seconds=seconds))


def only(seen: Seen, since: datetime | None = LONG_AGO) -> tuple[Repair, Cause | None] | None:
    found = find([seen], replace(HEARD, since=since))
    return (found[0].repair, found[0].cause) if found else None


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # Nothing to do.
        (GRANTED, None),
        (silent(GRANTED, 86400), None),  # Prefect is away: nothing was submitted that could have come
        (silent(SUBMITTED, 599), None),
        (silent(replace(SUBMITTED, granted_at=LONG_AGO), 599), None),
        (silent(REFUSED, 599), None),
        (CLAIMED, None),
        (silent(CLAIMED, 14), None),
        (silent(replace(CLAIMED, run="CRASHED"), 14), None),  # it lives, whatever Prefect has heard of it
        (silent(replace(CLAIMED, processes=0), 7), None),
        (replace(CLAIMED, run=""), None),
        (ENDED, None),
        (replace(ENDED, run=""), None),
        (replace(CLAIMED, wish_is_stop=True), None),
        (replace(CLAIMED, run="CANCELLING", wish_is_stop=True), None),  # it obeys already
        # Nobody came.
        (silent(SUBMITTED, 601), (Repair.END, Cause.UNCLAIMED)),
        (silent(replace(SUBMITTED, run="PENDING"), 601), (Repair.END, Cause.UNCLAIMED)),
        (silent(REFUSED, 601), (Repair.END, Cause.UNCLAIMED)),
        # A worker took its run, and died, or its process did, before that came.
        (taken(19, "PENDING"), None),
        (taken(21, "PENDING"), (Repair.END, Cause.LOST)),
        (taken(21, "RUNNING"), (Repair.END, Cause.LOST)),
        (taken(21, "SCHEDULED"), None),
        (replace(taken(21, "RUNNING"), processes=1), None),  # it is on its way
        (replace(taken(21, "RUNNING"), submitted_at=NOW - MOMENT), None),
        (replace(GRANTED, run="CRASHED"), (Repair.END, Cause.LOST)),
        (replace(GRANTED, run="FAILED"), (Repair.END, Cause.LOST)),
        (replace(GRANTED, run="CANCELLED"), (Repair.END, Cause.CANCELLED)),
        (replace(GRANTED, run="CANCELLING"), (Repair.END, Cause.CANCELLED)),
        (replace(GRANTED, wish_is_stop=True), (Repair.END, Cause.STOPPED)),  # nothing runs that could obey
        # Prefect has forgotten its run.
        (replace(SUBMITTED, run=NO_RUN), (Repair.SUBMIT, None)),
        (silent(replace(SUBMITTED, run=NO_RUN), 601), (Repair.SUBMIT, None)),
        (replace(SUBMITTED, run=NO_RUN, granted_at=NOW - FORGOTTEN - MOMENT), None),
        (silent(replace(SUBMITTED, run=NO_RUN, granted_at=LONG_AGO), 601), (Repair.END, Cause.UNCLAIMED)),
        (replace(SUBMITTED, run=NO_RUN, wish_is_stop=True), (Repair.END, Cause.STOPPED)),
        (replace(CLAIMED, run=NO_RUN), None),  # it beats
        (silent(replace(CLAIMED, run=NO_RUN), 16), (Repair.END, Cause.LOST)),
        # Its training has ended without it.
        (replace(CLAIMED, training_is_over=True), (Repair.RELEASE, None)),
        (replace(GRANTED, training_is_over=True), (Repair.RELEASE, None)),
        (replace(silent(CLAIMED, 60), training_is_over=True), (Repair.RELEASE, None)),
        # Silence.
        (silent(CLAIMED, 16), (Repair.END, Cause.LOST)),
        (silent(replace(CLAIMED, processes=0), 9), (Repair.END, Cause.LOST)),
        (silent(replace(CLAIMED, run="CRASHED"), 16), (Repair.END, Cause.LOST)),
        (silent(replace(CLAIMED, run="CANCELLED", processes=0), 9), (Repair.END, Cause.CANCELLED)),
        (silent(replace(CLAIMED, run="CANCELLING"), 16), (Repair.END, Cause.CANCELLED)),
        # A person's cancel is a wish.
        (replace(CLAIMED, run="CANCELLING"), (Repair.STOP, None)),
        (replace(CLAIMED, run="CANCELLED"), (Repair.STOP, None)),
        # After the end.
        (replace(ENDED, processes=2), (Repair.KILL, None)),
        (replace(ENDED, run="RUNNING"), (Repair.CLOSE_RUN, None)),
        (replace(ENDED, run="RUNNING", processes=1), (Repair.KILL, None)),
        (replace(ENDED, run=NO_RUN), None),
        (replace(ENDED, training_is_over=True), None),
        (replace(ENDED, ended_at=None, known=False, processes=1), (Repair.KILL, None)),
        # It ended by itself before Prefect could say that a person had cancelled it.
        (replace(ENDED, is_tried_again=True, run="CANCELLED"), (Repair.STOP, None)),
        (replace(ENDED, is_tried_again=True, run="CANCELLING"), (Repair.STOP, None)),
        (replace(ENDED, is_tried_again=True, run="CANCELLING", ended_at=NOW - MOMENT), (Repair.STOP, None)),
        (replace(ENDED, is_tried_again=True, run="CANCELLED", processes=1), (Repair.STOP, None)),
        (replace(ENDED, is_tried_again=True, run="CRASHED"), None),
        (replace(ENDED, run="CANCELLED"), None),
    ],
)
def test_what_is_found(seen: Seen, expected: tuple[Repair, Cause | None] | None):
    """Each way to die, and each way to be well."""
    assert only(seen) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (silent(CLAIMED, 3600), None),  # it had nobody to talk to
        (silent(SUBMITTED, 3600), None),
        (silent(REFUSED, 3600), None),
        (replace(silent(CLAIMED, 3600), run="CRASHED"), None),
        (silent(replace(SUBMITTED, run="CRASHED"), 3600), (Repair.END, Cause.LOST)),  # that needs no listening
    ],
)
def test_nobody_is_blamed_for_silence_while_nobody_listened(seen: Seen, expected: tuple[Repair, Cause] | None):
    """A controller that has just started waits for a whole lease before it judges."""
    assert only(seen, NOW - MOMENT) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (silent(CLAIMED, 3600), None),
        (replace(silent(CLAIMED, 3600), run="CRASHED", processes=0), None),
        (silent(SUBMITTED, 3600), None),
        (replace(GRANTED, run="CRASHED"), (Repair.END, Cause.LOST)),
        (replace(GRANTED, wish_is_stop=True), (Repair.END, Cause.STOPPED)),
    ],
)
def test_while_nobody_listens_silence_tells_nothing(seen: Seen, expected: tuple[Repair, Cause] | None):
    """A controller that is away leaves only what is known without it."""
    assert only(seen, None) == expected


@pytest.mark.parametrize("left", [{"processes": 1}, {"run": "RUNNING"}])
def test_a_run_that_has_told_its_end_gets_time_to_exit(left: dict):
    """Its process, and its state in Prefect, are repaired only once it had time for both."""
    seen = replace(ENDED, **left)
    assert only(replace(seen, ended_at=NOW - EXIT + MOMENT)) is None
    assert only(replace(seen, ended_at=NOW - EXIT)) is not None


def test_silence_counts_from_when_somebody_listened():
    """After a restart the lease runs out as usual, from the start of the listening."""
    assert only(silent(CLAIMED, 3600), NOW - LEASE - MOMENT) == (Repair.END, Cause.LOST)
    assert only(silent(replace(CLAIMED, processes=0), 3600), NOW - LEASE_WITHOUT_LIFE - MOMENT)
    assert only(silent(SUBMITTED, 3600), NOW - CLAIM - MOMENT) == (Repair.END, Cause.UNCLAIMED)


SET_BACK = -3 * 3600.0  # seconds of silence: it was noted before the clock was set back by three hours
TAKEN_AHEAD = replace(taken(SET_BACK, "RUNNING"), submitted_at=NOW - timedelta(seconds=SET_BACK))
ENDED_AHEAD = replace(ENDED, ended_at=NOW - timedelta(seconds=SET_BACK))


@pytest.mark.parametrize(
    ("seen", "listening", "expected"),
    [
        (silent(replace(CLAIMED, processes=0), SET_BACK), 7, None),
        (silent(replace(CLAIMED, processes=0), SET_BACK), 9, (Repair.END, Cause.LOST)),
        (silent(CLAIMED, SET_BACK), 14, None),
        (silent(CLAIMED, SET_BACK), 16, (Repair.END, Cause.LOST)),
        (silent(CLAIMED, -15), 16, None),  # it was heard of while this look went on
        (silent(SUBMITTED, SET_BACK), 599, None),
        (silent(SUBMITTED, SET_BACK), 601, (Repair.END, Cause.UNCLAIMED)),
        (silent(REFUSED, SET_BACK), 601, (Repair.END, Cause.UNCLAIMED)),
        (TAKEN_AHEAD, 19, None),
        (TAKEN_AHEAD, 21, (Repair.END, Cause.LOST)),
        (replace(SUBMITTED, run=NO_RUN, granted_at=NOW - timedelta(seconds=SET_BACK)), 1799, (Repair.SUBMIT, None)),
        (replace(SUBMITTED, run=NO_RUN, granted_at=NOW - timedelta(seconds=SET_BACK)), 1801, None),
        (replace(ENDED_AHEAD, processes=1), 29, None),
        (replace(ENDED_AHEAD, processes=1), 30, (Repair.KILL, None)),
        (replace(ENDED_AHEAD, run="RUNNING"), 29, None),
        (replace(ENDED_AHEAD, run="RUNNING"), 30, (Repair.CLOSE_RUN, None)),
    ],
)
def test_what_was_noted_before_the_clock_was_set_back(
    seen: Seen, listening: float, expected: tuple[Repair, Cause | None] | None
):
    """It counts from when the listening began, however long it takes the clock to come there again."""
    assert only(seen, NOW - timedelta(seconds=listening)) == expected


def test_of_one_that_looks_silent_since_the_clock_was_set_back_prefect_is_asked():
    """As of any other, as soon as it may be dead."""
    seen = silent(replace(CLAIMED, run=""), SET_BACK)
    assert not is_doubtful(seen, replace(HEARD, since=NOW - LEASE_WITHOUT_LIFE))
    assert is_doubtful(seen, replace(HEARD, since=NOW - LEASE_WITHOUT_LIFE - MOMENT))


@pytest.mark.parametrize(("beat", "read"), [(-60, -61), (1, SET_BACK * -1)])
def test_a_look_that_takes_long_takes_nobody_for_one_of_before(beat: float, read: float):
    """Also where the clock is set back in the middle of it: what it reads late is newer than its beginning."""
    hearing = HEARD.at(NOW - timedelta(seconds=read))
    assert find([silent(CLAIMED, beat)], hearing) == []


@pytest.mark.parametrize(("lease", "seconds"), [(10, 10), (600, 600)])
def test_the_lease_is_the_operators(lease: int, seconds: int):
    """An attempt whose processes live is dead once it is silent for longer, and not before."""
    hearing = replace(HEARD, lease=timedelta(seconds=lease))
    assert find([silent(CLAIMED, seconds)], hearing) == []
    assert find([silent(CLAIMED, seconds + 1)], hearing)[0].cause == Cause.LOST


@pytest.mark.parametrize(("processes", "life"), [(0, "no process of it lives"), (3, "3 process(es) of it live")])
def test_what_is_lost_says_why(processes: int, life: str):
    """For how long it was silent, what of it still lives here, and what Prefect makes of it."""
    (found,) = find([silent(replace(CLAIMED, processes=processes), 31)], HEARD)
    assert found.what == f"it has been silent for 31 s, and {life} on this machine; Prefect shows its run as RUNNING"


def test_a_silence_is_told_from_its_beginning():
    """Also where the controller was away for most of it, and judges by what it has heard itself."""
    (found,) = find([silent(CLAIMED, 70)], replace(HEARD, since=NOW - LEASE - MOMENT))
    assert found.what.startswith("it has been silent for 70 s")


def test_how_long_nobody_came_is_told_in_minutes():
    """Also after more than a day."""
    (found,) = find([silent(SUBMITTED, 26 * 3600)], HEARD)
    assert found.what == "no worker came in 1560 min"


def test_what_was_refused_ends_with_the_words_of_the_refusal():
    """Who reads why the training failed is told what to mend."""
    (found,) = find([silent(REFUSED, 660)], HEARD)
    assert found.what == "after 11 min it still cannot be started: not deployed"


STATES = ["", NO_RUN, "SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", *sorted(OVER)]


def moments(oldest: int) -> st.SearchStrategy[datetime]:
    """Any within so many seconds, and some of before the clock was set back."""
    seconds = st.sampled_from([SET_BACK, -16.0]) | st.integers(0, oldest)
    return seconds.map(lambda ago: NOW - timedelta(seconds=ago))


ANY = st.builds(
    Seen,
    st.sampled_from(["tr-1-a1", "tr-2-a1"]),
    st.booleans(),
    st.booleans(),
    moments(2000),
    st.none() | moments(100),
    st.sampled_from(STATES),
    st.integers(0, 3),
    st.booleans(),
    submitted_at=st.none() | moments(2000),
    refused=st.sampled_from(["", "cannot be started: not deployed"]),
    training_id=st.just("tr-1"),
    training_is_over=st.booleans(),
    known=st.booleans(),
)
# Only what has no run can have been refused one.
LIKELY = ANY.map(lambda seen: replace(seen, refused="") if seen.run or seen.submitted_at else seen)
# Only what has ended is followed by another.
SEEN = st.builds(lambda seen, again: replace(seen, is_tried_again=again and not seen.open), LIKELY, st.booleans())


def found_of(seen: Seen) -> Finding | None:
    return next(iter(find([seen], HEARD)), None)


@given(SEEN)
def test_what_is_heard_of_is_never_ended(seen: Seen):
    """An attempt that has beaten within the short lease keeps its machine, whatever Prefect says."""
    if (
        seen.open
        and seen.claimed
        and not seen.training_is_over
        and seen.beat_at
        and NOW - LEASE_WITHOUT_LIFE <= seen.beat_at <= NOW + LEASE
    ):
        found = found_of(seen)
        assert found is None or found.repair == Repair.STOP


@given(SEEN)
def test_prefect_need_not_be_asked_for_what_its_word_cannot_change(seen: Seen):
    """Of an open attempt that is not asked for, every state of its run but a cancel leads to the same."""
    unasked = replace(seen, open=True, run="")
    if not is_doubtful(unasked, HEARD):
        states = set(STATES) - {"CANCELLING", "CANCELLED"}
        assert len({tuple(find([replace(unasked, run=state)], HEARD)) for state in states}) == 1


@given(SEEN)
def test_only_open_attempts_end_and_only_ended_ones_are_killed(seen: Seen):
    """Processes are ended and runs closed of ended ones, all else but a wish is for open ones; an end has a cause."""
    found = found_of(seen)
    if found:
        of_ended = (Repair.KILL, Repair.CLOSE_RUN, *([Repair.STOP] if seen.is_tried_again else []))
        assert (found.repair not in of_ended) == seen.open
        assert (found.cause is not None) == (found.repair == Repair.END)
        assert found.what
        assert (found.subject, found.training_id) == (seen.attempt_id, seen.training_id)
        assert found.told == (f"{found.cause}: {found.what}" if found.cause else found.what)


@given(SEEN)
def test_no_lease_is_held_for_ever(seen: Seen):
    """Once it is silent for longer than every limit it is ended, however it looks; only Prefect is waited for."""
    later = NOW + CLAIM + LEASE + timedelta(seconds=2000)
    if seen.open and (seen.claimed or seen.submitted_at or seen.refused):
        assert find([seen], replace(HEARD, now=later))[0].repair in (Repair.END, Repair.RELEASE)


@given(SEEN)
def test_a_repair_that_was_done_is_not_found_again(seen: Seen):
    """After each repair, the world that it leaves needs none."""
    found = found_of(seen)
    if found is None:
        return
    after = {
        Repair.END: replace(seen, open=False, processes=0, run="CRASHED"),
        Repair.RELEASE: replace(seen, open=False, processes=0, run="CRASHED"),
        Repair.SUBMIT: replace(seen, flow_run_id="", submitted_at=None, run=""),
        # What has ended is tried no more; its run ends by itself, or is closed.
        Repair.STOP: replace(seen, wish_is_stop=True)
        if seen.open
        else replace(seen, is_tried_again=False, processes=0, run="CANCELLED"),
        Repair.KILL: replace(seen, processes=0, run="CRASHED"),
        Repair.CLOSE_RUN: replace(seen, run="CRASHED"),
    }[found.repair]
    assert found_of(after) is None


@given(st.lists(SEEN, max_size=5))
def test_each_attempt_is_judged_for_itself(seen: list[Seen]):
    """What stands beside it makes no difference."""
    assert find(seen, HEARD) == [found for one in seen for found in find([one], HEARD)]


@pytest.mark.parametrize(
    ("seen", "local", "elsewhere"),
    [
        (replace(silent(CLAIMED, 9), processes=0), (Repair.END, Cause.LOST), None),
        (replace(silent(CLAIMED, 16), processes=0), (Repair.END, Cause.LOST), (Repair.END, Cause.LOST)),
        (replace(silent(CLAIMED, 9), processes=0, run="CANCELLED"), (Repair.END, Cause.CANCELLED), (Repair.STOP, None)),
        (taken(21, "PENDING"), (Repair.END, Cause.LOST), None),
        (taken(21, "RUNNING"), (Repair.END, Cause.LOST), None),
        (silent(SUBMITTED, 601), (Repair.END, Cause.UNCLAIMED), (Repair.END, Cause.UNCLAIMED)),
    ],
)
def test_that_no_process_lives_here_tells_nothing_of_runs_elsewhere(
    seen: Seen, local: tuple[Repair, Cause], elsewhere: tuple[Repair, Cause | None] | None
):
    """Another pool, of containers or machines, has none here: its runs have the whole lease, and time for a claim."""
    assert only(seen) == local
    assert only(replace(seen, is_local=False)) == elsewhere


def test_of_a_run_elsewhere_no_process_is_missed():
    """What is told of its end speaks of its silence alone."""
    (finding,) = find([replace(silent(CLAIMED, 16), processes=0, is_local=False)], HEARD)
    assert "silent for 16 s" in finding.what
    assert "this machine" not in finding.what
