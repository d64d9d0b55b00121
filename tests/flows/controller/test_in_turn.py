"""The pauses of a record that fails."""

from flows.controller.in_turn import LONGEST_PAUSE_SECONDS, pause_after


def test_every_pause_is_bounded():
    """However often one fails, it is asked for again within half a minute."""
    assert [pause_after(failures) for failures in (1, 2, 3, 50_000)] == [2, 4, 8, LONGEST_PAUSE_SECONDS]
