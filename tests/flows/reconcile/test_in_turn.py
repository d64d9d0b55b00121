"""Each in its turn, and the pauses of one that fails."""

from collections.abc import Callable

import pytest

from blocks.errors import Temporary
from blocks.records.tables import Attempt
from flows.reconcile.in_turn import FAULTS_A_ROUND, LONGEST_PAUSE_SECONDS, InTurn, pause_after
from tests.flows.reconcile.conftest import Clock

ROWS = [Attempt(id=f"tr-{number:02}-a1") for number in range(30)]


def test_every_pause_is_bounded():
    """However often one fails, it is asked for again within half a minute."""
    assert [pause_after(failures) for failures in (1, 2, 3, 50_000)] == [2, 4, 8, LONGEST_PAUSE_SECONDS]


def failing(done: list[str], is_bad: Callable[[Attempt], bool] = lambda _row: True) -> Callable[[Attempt], None]:
    def do(row: Attempt) -> None:
        done.append(row.id)
        if is_bad(row):
            raise Temporary(row.id)

    return do


def test_what_failed_together_does_not_come_back_together(clock: Clock):
    """Each pause is a little shorter than it is said to be, and none longer."""
    in_turn, done = InTurn(clock), list[str]()
    for _ in range(len(ROWS) // FAULTS_A_ROUND):
        with pytest.raises(Temporary):
            in_turn.each(ROWS, failing(done))
    assert done == [row.id for row in ROWS]

    def again_at(moment: float) -> int:
        clock.now, due = moment, list[str]()
        in_turn.each(ROWS, failing(due, lambda _row: False))
        return len(due)

    assert again_at(0.9 * pause_after(1) - 0.01) == 0
    assert 0 < again_at(0.95 * pause_after(1)) < len(ROWS)
    assert again_at(pause_after(1)) == len(ROWS)


def test_many_that_always_fail_leave_the_others_their_turn(clock: Clock):
    """However many of them are due again by then: who has not failed comes first."""
    in_turn, bad, good, done = InTurn(clock), ROWS[:-1], ROWS[-1], list[str]()
    for _ in range(len(ROWS)):
        clock.now += LONGEST_PAUSE_SECONDS
        with pytest.raises(Temporary):
            in_turn.each([*bad], failing(done))
    clock.now += LONGEST_PAUSE_SECONDS
    done.clear()
    with pytest.raises(Temporary):
        in_turn.each([*bad, good], failing(done, lambda row: row is not good))
    assert done[0] == good.id
