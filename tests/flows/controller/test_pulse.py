"""The controller's signs of life."""

import time
from datetime import timedelta

import pytest

from blocks.records.tables import now
from flows.controller import pulse as beating
from flows.controller.pulse import GAP, Pulse


@pytest.mark.parametrize("noticed", ["by a loop", "by who asks"])
@pytest.mark.parametrize(
    ("gap", "begins_anew"), [(GAP - timedelta(seconds=1), False), (GAP * 2, True), (timedelta(days=-1), True)]
)
def test_after_a_sleep_the_listening_begins_anew(
    monkeypatch: pytest.MonkeyPatch, gap: timedelta, begins_anew: bool, noticed: str
):
    """A machine that slept, or a clock that was set, blames nobody for what it could not hear."""
    pulse = Pulse()
    pulse.beat("heal", 60)
    since = pulse.listening_since
    monkeypatch.setattr(beating, "now", lambda: now() + gap)
    if noticed == "by a loop":
        pulse.beat("heal", 60)
    assert (pulse.listening_since != since) == begins_anew
    assert not begins_anew or abs(pulse.listening_since - now() - gap) < timedelta(seconds=5)


def test_who_could_not_be_heard_is_not_silent():
    """The listening begins anew at the moment that is told of."""
    pulse, before = Pulse(), now()
    pulse.listen_anew()
    assert pulse.listening_since >= before


def test_a_loop_is_late_after_its_own_patience(monkeypatch: pytest.MonkeyPatch):
    """Each has its own; what was never heard of is not missed."""
    pulse, began = Pulse(), time.monotonic()
    assert pulse.late() == []
    pulse.beat("watch", 60)
    pulse.beat("heal", 600)
    monkeypatch.setattr(beating.time, "monotonic", lambda: began + 100)
    assert pulse.late() == ["watch"]
    pulse.beat("watch", 60)
    assert pulse.late() == []
