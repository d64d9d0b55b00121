"""What failed for a moment is done again, and only that."""

import pytest

from blocks.storage import rounds
from blocks.storage.errors import AccessDenied, Unreachable
from blocks.storage.rounds import BARREN, QUIET_SECONDS, ROUNDS, again, in_rounds, is_last


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rounds follow each other at once."""
    monkeypatch.setattr(rounds, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(rounds, "LONGEST_PAUSE_SECONDS", 0)


@pytest.mark.parametrize(
    ("count", "barren", "quiet", "expected"),
    [
        (1, 0, 0.0, False),
        (1, 1, 0.0, False),
        (ROUNDS - 1, 0, 0.0, False),
        (ROUNDS, 0, 0.0, True),
        (BARREN, BARREN - 1, 0.0, False),
        (BARREN, BARREN, 0.0, True),
        (1, 1, QUIET_SECONDS - 1, False),
        (1, 1, QUIET_SECONDS, True),
    ],
)
def test_when_the_rounds_are_over(count: int, barren: int, quiet: float, expected: bool) -> None:
    """After a few of them, after fewer that bring nothing, and after a time in which nothing was brought."""
    assert is_last(count, barren, quiet) == expected


def away(items: list[int], brought: int) -> tuple[list[int], Unreachable | None]:
    """A round that brings the first few items."""
    left = items[brought:]
    return left, Unreachable("The store is away.") if left else None


def test_only_what_is_left_is_done_again() -> None:
    """Each round gets what the one before has left, and nothing follows the one that leaves nothing."""
    seen: list[list[int]] = []

    def once(items: list[int]) -> tuple[list[int], Unreachable | None]:
        seen.append(items)
        return away(items, 2)

    in_rounds([1, 2, 3, 4, 5], once)
    assert seen == [[1, 2, 3, 4, 5], [3, 4, 5], [5]]


@pytest.mark.parametrize(("brought", "expected"), [(1, ROUNDS), (0, BARREN)])
def test_the_rounds_end(brought: int, expected: int) -> None:
    """However many items there are, a few rounds are all; where they bring nothing there are fewer."""
    seen: list[int] = []

    def once(items: list[int]) -> tuple[list[int], Unreachable | None]:
        seen.append(len(items))
        return away(items, brought)

    with pytest.raises(Unreachable):
        in_rounds(list(range(100)), once)
    assert len(seen) == expected


def test_what_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a round without a success took a minute its caller is told at once: who waits for it knows better."""
    monkeypatch.setattr(rounds, "QUIET_SECONDS", 0.0)
    seen: list[int] = []

    def fail() -> None:
        seen.append(1)
        raise Unreachable("The store is silent.")

    with pytest.raises(Unreachable):
        again(fail)
    assert len(seen) == 1


def test_what_is_refused_is_not_asked_again() -> None:
    """A fault that does not pass ends it at once."""
    seen: list[int] = []

    def refuse() -> None:
        seen.append(1)
        raise AccessDenied("The key was denied.")

    with pytest.raises(AccessDenied):
        again(refuse)
    assert len(seen) == 1


def test_a_request_that_passes_at_last_brings_its_answer() -> None:
    """Whatever that is."""
    faults = iter([Unreachable("away"), Unreachable("away")])

    def ask() -> str | None:
        for fault in faults:
            raise fault
        return None

    assert again(ask) is None
