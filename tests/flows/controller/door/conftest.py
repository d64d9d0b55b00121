"""The controller's door over real records, an attempt that waits behind it, and its holder."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from flows.controller.assign import Assigner
from flows.controller.door import app
from flows.controller.pulse import Pulse
from tests.flows.controller.door.calls import SECRET, TOKEN

Call = Callable[..., Any]


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
def client(here: Platform, pulse: Pulse) -> TestClient:
    return TestClient(app(Assigner(here), SECRET, pulse))


@pytest.fixture
def attempt_id(here: Platform, make: Callable[..., str]) -> str:
    """An attempt that holds its lease and waits for its run."""
    training_id = make()
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        row.mlflow_run_id = "m-1"
        return verbs.grant(session, row, machine="here", memory_bytes=2**30, gpus=["0"]).id


@pytest.fixture
def claim(client: TestClient) -> Call:
    """Claim an attempt with the right code, unless a field says otherwise; returns the answer."""

    def claimed(attempt_id: str, **fields: Any) -> Any:
        body = {"code": verbs.claim_code(SECRET, attempt_id), "token": TOKEN, "flow_run_id": "run-1"} | fields
        return client.post(f"/attempts/{attempt_id}/claim", json=body)

    return claimed


@pytest.fixture
def call(client: TestClient, claim: Call, attempt_id: str) -> Call:
    """Say a verb as the holder of the claimed attempt; returns the answer."""
    assert claim(attempt_id).status_code == 200

    def said(verb: str, body: Any = None, token: str = TOKEN) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return client.post(f"/attempts/{attempt_id}/{verb}", json={} if body is None else body, headers=headers)

    return said
