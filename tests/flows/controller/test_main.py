"""How the controller comes up."""

from collections.abc import Callable
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.words import TrainingState, Wish
from flows.controller import __main__ as controller


def test_a_pause_outlives_a_controller(here: Platform, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    """One that crashed while the platform goes down and was started again lets nothing go on: that is for `up`."""
    training_id = make(TrainingState.RUNNING)
    with here.records.writing() as session:
        trainings.find(session, training_id).wish = Wish.SUSPEND
    served: list[dict[str, Any]] = []
    monkeypatch.setenv("EMF_CLAIM_SECRET", "secret")
    monkeypatch.setattr(controller, "log_plainly", lambda: None)
    monkeypatch.setattr(controller.Watch, "start", lambda _watch: None)
    monkeypatch.setattr(controller.uvicorn, "run", lambda _app, **how: served.append(how))
    controller.main()
    assert served[0]["host"] == "127.0.0.1"
    with here.records.reading() as session:
        assert trainings.find(session, training_id).wish == Wish.SUSPEND
