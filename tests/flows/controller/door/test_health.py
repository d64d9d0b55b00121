"""What the controller tells of itself, and that its own faults are not the caller's."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import exc
from starlette.testclient import TestClient

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records.tables import now
from flows.controller.assign import Assigner
from flows.controller.door import app
from flows.controller.pulse import Pulse
from tests.flows.controller.door.calls import SECRET

Call = Callable[..., Any]


def test_the_controller_says_that_it_is_well(client: TestClient):
    """What its supervisor asks needs no token."""
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert now() - datetime.fromisoformat(answer.json()["listening_since"]) < timedelta(minutes=1)


def test_a_loop_that_hangs_is_told(here: Platform):
    """503 with its name; since when instances are heard is told all the same."""
    pulse = Pulse()
    pulse.beat("heal", -1)
    answer = TestClient(app(Assigner(here), SECRET, pulse)).get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "late: heal")
    assert "listening_since" in answer.json()


def test_records_that_are_away_are_no_end(here: Platform, call: Call, pulse: Pulse, monkeypatch: pytest.MonkeyPatch):
    """503: the instance asks again, and is not held to have been silent meanwhile."""
    began = now()
    monkeypatch.setattr("blocks.records.database.BUSY_SECONDS", 0.1)
    here.records.engine.dispose()
    with here.records.writing() as session:
        session.connection()
        assert call("beat").status_code == 503
    assert pulse.listening_since >= began
    assert call("beat").status_code == 200


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (exc.InternalError, 503),  # PostgreSQL: cannot execute UPDATE in a read-only transaction
        (exc.ProgrammingError, 503),
        (exc.NotSupportedError, 503),
        (exc.DataError, 422),
    ],
)
def test_a_database_that_refuses_a_statement_is_no_fault_of_the_caller(
    call: Call, pulse: Pulse, monkeypatch: pytest.MonkeyPatch, fault: type, status: int
):
    """503, and nobody was silent meanwhile; 422 is said only of a value that was sent."""
    began = pulse.listening_since

    def refuse(*_given: object) -> None:
        raise fault("UPDATE", {}, Exception("refused"))

    monkeypatch.setattr(verbs, "beat", refuse)
    assert call("beat").status_code == status
    assert (pulse.listening_since > began) == (status == 503)
