"""A place that is away for a while costs that while, not the work."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from blocks.logs.line import Level
from blocks.storage.errors import AccessDenied, Changed, StorageError, Unreachable
from flows.training.instances import patience
from flows.training.instances.instance import Instance, StepFailed
from flows.training.instances.patience import STAGING_IN, Absence, patiently
from tests.flows.training.folders import silent


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        ([(0, 720)], 0),  # however long the work before the first one took
        ([(0, 720), (0, 725), (0, 760)], 40),
        ([(9, 720), (9, 1500)], 780),  # as far as before, and no further
        ([(9, 720), (5, 1500)], 780),
        ([(9, 720), (10, 1500)], 0),  # further than ever
        ([(9, 720), (10, 1500), (10, 1510)], 10),
    ],
)
def test_how_long_a_place_has_been_away(failures: list[tuple[int, float]], seconds: float):
    """Since the first failure after the work last came further; the work itself does not count."""
    absence = Absence()
    assert [absence.seconds(furthest, now) for furthest, now in failures][-1] == seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes only where a test lets it."""
    now = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def one(instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch) -> Instance:
    """An instance whose pauses take no time."""
    made = instance()
    monkeypatch.setattr(made, "pause", lambda _seconds: None)
    return made


def test_work_that_comes_further_is_tried_again(one: Instance, clock: list[float]):
    """Tries that each take longer than the patience, and bring more than the one before, are no absence."""
    brings = [700, 800, 1000]

    def copy() -> str:
        brought = brings.pop(0)
        clock[0] += 2 * STAGING_IN.seconds
        one.progress("the data", silent)(brought, 1000)
        if brought < 1000:
            raise Unreachable("The connection broke off.")
        return "there"

    assert patiently(one, STAGING_IN, copy) == "there"


def test_work_that_comes_no_further_is_given_up(one: Instance, clock: list[float]):
    """A place that breaks off at the same byte again and again is away."""
    tries: list[int] = []

    def copy() -> None:
        tries.append(1)
        clock[0] += STAGING_IN.seconds
        one.progress("the data", silent)(700, 1000)
        raise Unreachable("The connection broke off.")

    with pytest.raises(StepFailed, match="broke off"):
        patiently(one, STAGING_IN, copy)
    assert len(tries) == 2


def test_a_transfer_is_measured_by_itself(one: Instance, clock: list[float]):
    """How far the one before it came is forgotten."""
    one.progress("the data", silent)(10**9, 10**9)
    test_work_that_comes_further_is_tried_again(one, clock)


def test_what_is_waited_for_is_logged_once(one: Instance, monkeypatch: pytest.MonkeyPatch):
    """One line for each kind of fault, whatever varies in its words; the progress has the latest."""
    logged: list[str] = []
    faults: list[StorageError] = [Unreachable("request 1"), Unreachable("request 2"), Changed("a"), AccessDenied("no")]

    def say(text: str, _level: Level = "INFO") -> None:
        logged.append(text.rpartition(": ")[2])

    def fail() -> None:
        raise faults.pop(0)

    monkeypatch.setattr(one.log, "say", say)
    with pytest.raises(StepFailed):
        patiently(one, replace(STAGING_IN, seconds=60), fail)
    assert logged == ["request 1", "a"]
    assert one.door.progress.endswith(": a")
