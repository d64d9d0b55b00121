"""Who is turned away at the door, and what is not understood there."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records.tables import Attempt
from blocks.records.words import TrainingState
from flows.controller.door import LIMIT_BYTES, VERBS
from tests.flows.controller.door.calls import GOOD, TOKEN

T = TrainingState
Call = Callable[..., Any]


def test_every_verb_is_tried_here():
    """The calls of these tests are all that the door has."""
    assert set(GOOD) == set(VERBS)


@pytest.mark.parametrize("verb", list(GOOD))
@pytest.mark.parametrize("token", ["", "another"])
def test_only_the_holder_speaks(call: Call, attempt_of: Call, attempt_id: str, verb: str, token: str):
    """Without its token every verb is 410 and changes nothing."""
    before = attempt_of(attempt_id)
    assert call(verb, GOOD[verb], token).status_code == 410
    after = attempt_of(attempt_id)
    assert (after.phase, after.training.state, after.beat_at) == (before.phase, before.training.state, before.beat_at)


@pytest.mark.parametrize("verb", list(GOOD))
def test_an_attempt_that_has_ended_is_gone(here: Platform, call: Call, attempt_id: str, verb: str):
    """Whatever its holder says after it was given up: 410, with the reason."""
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={"cause": "lost"})
    answer = call(verb, GOOD[verb])
    assert answer.status_code == 410
    assert "given up" in answer.json()["message"]


def test_there_are_no_other_verbs(call: Call):
    """404, with those that there are."""
    answer = call("delete")
    assert answer.status_code == 404
    assert all(verb in answer.json()["message"] for verb in VERBS)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("claim", {}),
        ("claim", {"code": 5, "token": "t", "flow_run_id": ""}),
        ("claim", []),
        ("checkpoint", {"number": 2**70, "path": "p", "files": 1, "bytes": 1}),
        ("checkpoint", {}),
        ("checkpoint", {"number": "one", "path": "p", "files": 1, "bytes": 1}),
        ("checkpoint", {"number": 1, "path": "p", "files": None, "bytes": 1}),
        ("warn", {}),
        ("warn", "text"),
        ("beat", [1]),
        ("beat", 5),
        ("beat", {"ran_seconds": "long"}),
        ("beat", {"ran_seconds": None}),
        ("beat", {"ran_seconds": -1}),
        ("beat", {"ran_seconds": 10**400}),
        ("run", {"ran_seconds": []}),
        ("stage-out", {}),
        ("stage-out", {"evidence": []}),
        ("stage-out", {"evidence": {"exit_code": 0}}),
        ("end", {"evidence": "exit"}),
        ("end", {"evidence": {"cause": "whatever"}}),
        ("end", {"evidence": {"cause": "memory", "peak_memory_bytes": "much"}}),
    ],
)
def test_a_body_that_is_not_understood(call: Call, attempt_of: Call, attempt_id: str, verb: str, body: Any):
    """422, and the attempt goes on as it was."""
    answer = call(verb, body)
    assert answer.status_code == 422
    assert "not understood" in answer.json()["message"]
    row = attempt_of(attempt_id)
    assert (row.ended_at, row.training.state, row.checkpoints) == (None, T.CREATE_IN_PROGRESS, [])


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_time_that_is_no_number_of_seconds(
    client: TestClient, call: Call, attempt_of: Call, attempt_id: str, seconds
):
    """What JSON can say and no clock has: 422, and no time is kept."""
    said = f'{{"ran_seconds": {seconds}}}'.encode()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post(f"/attempts/{attempt_id}/beat", content=said, headers=headers).status_code == 422
    assert attempt_of(attempt_id).ran_seconds is None


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * LIMIT_BYTES + b'"'])
def test_a_body_that_is_no_json(client: TestClient, call: Call, attempt_id: str, raw: bytes):
    """Cut off, no text, deeper than Python reads, larger than a megabyte: 422."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for verb in ("claim", "beat", "end"):
        assert client.post(f"/attempts/{attempt_id}/{verb}", content=raw, headers=headers).status_code == 422
