"""The controller's door: every verb of an attempt, and who is turned away."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import exc
from starlette.testclient import TestClient

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt, now
from blocks.records.words import TrainingState
from flows.controller.assign import MOMENT, Assigner
from flows.controller.door import LIMIT_BYTES, VERBS, app
from flows.controller.pulse import Pulse
from flows.training.assignment import Assignment

T = TrainingState
SECRET = "what claim codes are made from"
TOKEN = "a token of the instance's own"
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


def claim(client: TestClient, attempt_id: str, **fields: Any) -> Any:
    body = {"code": verbs.claim_code(SECRET, attempt_id), "token": TOKEN, "flow_run_id": "run-1"} | fields
    return client.post(f"/attempts/{attempt_id}/claim", json=body)


@pytest.fixture
def call(client: TestClient, attempt_id: str) -> Call:
    """Say a verb as the holder of the claimed attempt; returns the answer."""
    assert claim(client, attempt_id).status_code == 200

    def said(verb: str, body: Any = None, token: str = TOKEN) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return client.post(f"/attempts/{attempt_id}/{verb}", json={} if body is None else body, headers=headers)

    return said


EVIDENCE = {"cause": "exit", "exit_code": 0}
GOOD: dict[str, dict[str, Any]] = {
    "beat": {"progress": "running"},
    "run": {},
    "checkpoint": {"number": 1, "path": "file:///c/checkpoint-1", "files": 2, "bytes": 3},
    "warn": {"message": "Warning: odd"},
    "stage-out": {"evidence": EVIDENCE},
    "end": {"evidence": {"cause": "exit", "exit_code": 1}},
}


def test_every_verb_is_tried_here():
    """The calls of these tests are all that the door has."""
    assert set(GOOD) == set(VERBS)


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


def test_a_claim_is_answered_with_all_that_an_instance_needs(client: TestClient, attempt_id: str, places: dict):
    """The assignment is whole: the spec, the size, the keys of its places and of no others."""
    answer = claim(client, attempt_id)
    found = Assignment.model_validate(answer.json())
    assert (found.attempt_id, found.spec.entry_point, found.environment) == (attempt_id, "train.py", "pytorch")
    assert (found.memory_bytes, found.gpus, found.vcpus) == (2**30, ["0"], 1)
    assert (found.tracked.run_id, found.tracked.experiment_id) == ("m-1", "7")
    assert found.output == f"{places['output_path']}/{found.training_id}"
    assert found.storage["endpoints"] == {}
    assert found.seconds_left == 3600


def test_a_claim_can_be_repeated(client: TestClient, attempt_id: str):
    """With the same token the same answer; it is lost on its way now and then."""
    assert claim(client, attempt_id).json() == claim(client, attempt_id).json()


@pytest.mark.parametrize("code", ["", "0" * 64, "코드"])
def test_a_wrong_code_claims_nothing(client: TestClient, attempt_id: str, attempt_of: Call, code: str):
    """The lease is as it was; the code itself is not repeated."""
    answer = claim(client, attempt_id, code=code)
    assert answer.status_code in (410, 422)
    assert attempt_of(attempt_id).token_hash == ""
    assert verbs.claim_code(SECRET, attempt_id) not in answer.text


def test_the_code_of_another_attempt_claims_nothing(client: TestClient, attempt_id: str):
    """Each attempt has its own."""
    other = verbs.claim_code(SECRET, attempt_id.replace("-a1", "-a2"))
    assert claim(client, attempt_id, code=other).status_code == 410


def test_who_claims_a_second_time_ends_it(client: TestClient, attempt_id: str, attempt_of: Call):
    """With the right code and another token nobody knows whose it is: it ends, and is tried again."""
    claim(client, attempt_id)
    answer = claim(client, attempt_id, token="another", flow_run_id="run-2")
    row = attempt_of(attempt_id)
    assert (answer.status_code, row.flow_run_id, row.reason) == (410, "run-1", "PLATFORM")
    assert (row.training.state, row.evidence["error"]) == (T.CREATE_IN_PROGRESS, "It was claimed twice.")


def test_a_second_claim_of_one_that_runs_is_turned_away(
    call: Call, client: TestClient, attempt_id: str, attempt_of: Call
):
    """410, and the first keeps it."""
    call("run")
    answer = claim(client, attempt_id, token="another", flow_run_id="run-2")
    row = attempt_of(attempt_id)
    assert (answer.status_code, row.flow_run_id, row.ended_at) == (410, "run-1", None)


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


def test_an_ended_attempt_cannot_be_claimed(here: Platform, client: TestClient, attempt_id: str):
    """A run that comes too late is turned away."""
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
    assert claim(client, attempt_id).status_code == 410


def test_an_attempt_that_never_was_is_gone(client: TestClient):
    """It is no different from one that ended."""
    assert claim(client, "tr-000000000000-a1").status_code == 410


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


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * LIMIT_BYTES + b'"'])
def test_a_body_that_is_no_json(client: TestClient, call: Call, attempt_id: str, raw: bytes):
    """Cut off, no text, deeper than Python reads, larger than a megabyte: 422."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for verb in ("claim", "beat", "end"):
        assert client.post(f"/attempts/{attempt_id}/{verb}", content=raw, headers=headers).status_code == 422


def test_a_beat_brings_the_wish(here: Platform, call: Call, attempt_of: Call, attempt_id: str):
    """What it is doing is kept, and a stop reaches it with the next answer."""
    assert call("beat", {"progress": "epoch 3"}).json() == {"wish": ""}
    assert attempt_of(attempt_id).progress == "epoch 3"
    with here.records.writing() as session:
        trainings.wish_stop(session, trainings.find(session, attempt_id.removesuffix("-a1")))
    assert call("beat").json() == {"wish": "STOP"}


def test_a_script_that_ends_well_completes(call: Call, attempt_of: Call, attempt_id: str):
    """run, checkpoint, stage-out, end: each state in turn, and the answer is what became of it."""
    seen = []
    for verb in ("run", "checkpoint", "stage-out"):
        assert call(verb, GOOD[verb]).json() == {}
        seen.append(attempt_of(attempt_id).training.state)
    assert seen == [T.RUNNING, T.RUNNING, T.COMPLETE_IN_PROGRESS]
    assert call("end", {"evidence": EVIDENCE}).json()["state"] == "COMPLETE"
    row = attempt_of(attempt_id)
    assert (row.training.state, row.evidence, len(row.checkpoints)) == (T.COMPLETE, EVIDENCE, 1)


@pytest.mark.parametrize("heard", ["stage-out, end", "end"])
def test_a_success_whose_start_was_not_heard_is_one(call: Call, attempt_of: Call, attempt_id: str, heard: str):
    """A script that began and ended while the door was shut completes all the same."""
    for verb in heard.split(", "):
        answer = call(verb, {"evidence": EVIDENCE})
        assert answer.status_code == 200
    assert answer.json()["state"] == "COMPLETE"
    assert attempt_of(attempt_id).running_at is not None


@pytest.mark.parametrize("exit_code", [0, 1])
def test_an_end_is_answered_again_by_its_own_verdict(here: Platform, call: Call, attempt_id: str, exit_code: int):
    """Also once a person deletes the training: what has completed has."""
    evidence = {"evidence": {"cause": "exit", "exit_code": exit_code}}
    first = call("end", evidence).json()
    with here.records.writing() as session:
        trainings.begin_delete(session, trainings.find(session, attempt_id.removesuffix("-a1")))
    assert call("end", evidence).json() == first


def test_a_checkpoint_told_twice_is_one(call: Call, attempt_of: Call, attempt_id: str):
    """An answer that was lost makes no second one."""
    for _ in range(2):
        assert call("checkpoint", GOOD["checkpoint"]).status_code == 200
    (kept,) = attempt_of(attempt_id).checkpoints
    assert (kept.number, kept.path, kept.files, kept.bytes) == (1, "file:///c/checkpoint-1", 2, 3)


def test_a_warning_is_an_event(here: Platform, call: Call, attempt_id: str):
    """People see it; a long one is cut."""
    call("warn", {"message": "x" * 5000})
    with here.records.reading() as session:
        event = trainings.events_of(session, "training", attempt_id.removesuffix("-a1"))[-1]
    assert event.message == "x" * 2000


def test_a_failure_is_told_with_its_evidence(call: Call, attempt_of: Call, attempt_id: str):
    """Exit code and last lines are in the record; words that the door does not know are left out."""
    call("run")
    evidence = {"cause": "exit", "exit_code": 3, "last_lines": ["a", "ValueError: b"]}
    answer = call("end", {"evidence": evidence | {"mood": "bad"}}).json()
    assert (answer["state"], answer["reason"]) == ("FAIL_TRAIN", "USER_ERROR")
    assert "ValueError: b" in answer["message"]
    assert attempt_of(attempt_id).training.evidence == evidence


@pytest.mark.parametrize("wish", ["", "SUSPEND"])
def test_an_end_whose_answer_was_lost_is_answered_again(here: Platform, call: Call, attempt_id: str, wish: str):
    """The same holder with the same evidence gets the same state; with other evidence it is gone."""
    with here.records.writing() as session:
        trainings.find(session, attempt_id.removesuffix("-a1")).wish = wish
    first = call("end", {"evidence": {"cause": "stopped"}})
    again = call("end", {"evidence": {"cause": "stopped"}})
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["state"] == again.json()["state"] == "CREATE_IN_PROGRESS"
    assert call("end", {"evidence": {"cause": "memory"}}).status_code == 410
    assert call("end", {"evidence": {"cause": "stopped"}}, "another").status_code == 410


def test_a_retry_goes_on_from_the_last_checkpoint(here: Platform, call: Call, client: TestClient, attempt_id: str):
    """The next attempt gets those that are still kept of each before it, newest first, and the time that is left."""
    for number in (1, 2, 3, 4):
        call("checkpoint", GOOD["checkpoint"] | {"number": number, "path": f"file:///c/checkpoint-{number}"})
    call("run")
    call("end", {"evidence": {"cause": "stopped"}})
    training_id = attempt_id.removesuffix("-a1")
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        row.attempts[0].running_at = row.attempts[0].ended_at.replace(year=2020)
        second = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[]).id
    found = claim(client, second).json()
    assert found["resume_from"] == [f"file:///c/checkpoint-{number}" for number in (4, 3, 2)]
    assert found["seconds_left"] == MOMENT
    assert found["number"] == 2


def test_what_left_the_catalogue_ends_the_training(
    here: Platform, client: TestClient, attempt_id: str, attempt_of: Call
):
    """An image that is gone is said so, and is not asked for again and again."""
    folder = here.settings.home / "catalogue"
    folder.mkdir()
    image = "{name: other, core_type: CPU, framework: PYTHON, framework_version: '1', python: '3.11', environment: x}"
    (folder / "images.yaml").write_text(f"- {image}\n")
    answer = claim(client, attempt_id)
    assert answer.status_code == 410
    assert "no longer in the catalogue" in answer.json()["message"]
    training = attempt_of(attempt_id).training
    assert (training.state, training.reason) == (T.CREATE_FAILED, "PLATFORM")
    assert "no longer in the catalogue" in training.message


def granted(here: Platform, training_id: str) -> str:
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        return verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[]).id


def test_a_place_that_the_platform_does_not_know(here: Platform, client: TestClient, make: Call, attempt_of: Call):
    """An object store without keys: its training has failed with the words that help."""
    attempt_id = granted(here, make(output_path="obs://other.host/bucket/x"))
    answer = claim(client, attempt_id)
    assert answer.status_code == 410
    row = attempt_of(attempt_id)
    assert (row.training.state, row.ended_at is None) == (T.CREATE_FAILED, False)
    assert "other.host" in row.training.message


def test_a_mount_that_was_added_later_is_known(here: Platform, client: TestClient, make: Call, tmp_path: Path):
    """Settings and keys are read at every claim, not when the controller started."""
    attempt_id = granted(here, make(output_path="nas://late:/x"))
    (here.settings.home / "settings.yaml").write_text(f"nas: {{late: {tmp_path}}}\n")
    assert claim(client, attempt_id).json()["storage"]["nas"] == {"late": str(tmp_path)}


def test_a_file_that_is_being_edited_ends_nothing(
    here: Platform, client: TestClient, attempt_id: str, attempt_of: Call
):
    """503: the instance asks again until it can be read."""
    file = here.settings.home / "settings.yaml"
    file.write_text("nas: [")
    assert claim(client, attempt_id).status_code == 503
    assert attempt_of(attempt_id).ended_at is None
    file.unlink()
    assert claim(client, attempt_id).status_code == 200


def test_a_broken_assignment_shows_no_key():
    """What pydantic says of one does not repeat what it holds."""
    with pytest.raises(ValidationError) as raised:
        Assignment.model_validate({"storage": "the secret", "number": "the secret"})
    assert "the secret" not in str(raised.value)


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
