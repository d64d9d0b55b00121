"""Who claims an attempt, and what the claim is answered with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.tables import Attempt
from blocks.records.words import TrainingState
from flows.controller.assign import MOMENT
from flows.training.assignment import Assignment
from tests.flows.controller.door.calls import GOOD, SECRET

T = TrainingState
Call = Callable[..., Any]


def test_a_claim_is_answered_with_all_that_an_instance_needs(claim: Call, attempt_id: str, places: dict):
    """The assignment is whole: the spec, the size, the keys of its places and of no others."""
    answer = claim(attempt_id)
    found = Assignment.model_validate(answer.json())
    assert (found.attempt_id, found.spec.entry_point, found.environment) == (attempt_id, "train.py", "pytorch")
    assert (found.memory_bytes, found.gpus, found.vcpus) == (2**30, ["0"], 1)
    assert (found.tracked.run_id, found.tracked.experiment_id) == ("m-1", "7")
    assert found.output == f"{places['output_path']}/{found.training_id}"
    assert found.storage["endpoints"] == {}
    assert found.seconds_left == 3600


def test_a_claim_can_be_repeated(claim: Call, attempt_id: str):
    """With the same token the same answer; it is lost on its way now and then."""
    assert claim(attempt_id).json() == claim(attempt_id).json()


@pytest.mark.parametrize("code", ["", "0" * 64, "코드"])
def test_a_wrong_code_claims_nothing(claim: Call, attempt_id: str, attempt_of: Call, code: str):
    """The lease is as it was; the code itself is not repeated."""
    answer = claim(attempt_id, code=code)
    assert answer.status_code in (410, 422)
    assert attempt_of(attempt_id).token_hash == ""
    assert verbs.claim_code(SECRET, attempt_id) not in answer.text


def test_the_code_of_another_attempt_claims_nothing(claim: Call, attempt_id: str):
    """Each attempt has its own."""
    other = verbs.claim_code(SECRET, attempt_id.replace("-a1", "-a2"))
    assert claim(attempt_id, code=other).status_code == 410


def test_who_claims_a_second_time_ends_it(claim: Call, attempt_id: str, attempt_of: Call):
    """With the right code and another token nobody knows whose it is: it ends, and is tried again."""
    claim(attempt_id)
    answer = claim(attempt_id, token="another", flow_run_id="run-2")
    row = attempt_of(attempt_id)
    assert (answer.status_code, row.flow_run_id, row.reason) == (410, "run-1", "PLATFORM")
    assert (row.training.state, row.evidence["error"]) == (T.CREATE_IN_PROGRESS, "It was claimed twice.")


def test_a_second_claim_of_one_that_runs_is_turned_away(call: Call, claim: Call, attempt_id: str, attempt_of: Call):
    """410, and the first keeps it."""
    call("run")
    answer = claim(attempt_id, token="another", flow_run_id="run-2")
    row = attempt_of(attempt_id)
    assert (answer.status_code, row.flow_run_id, row.ended_at) == (410, "run-1", None)


def test_an_ended_attempt_cannot_be_claimed(here: Platform, claim: Call, attempt_id: str):
    """A run that comes too late is turned away."""
    with here.records.writing() as session:
        attempt = session.get(Attempt, attempt_id)
        verbs.end(session, attempt, T.CREATE_IN_PROGRESS, reason=None, message="", evidence={})
    assert claim(attempt_id).status_code == 410


def test_an_attempt_that_never_was_is_gone(claim: Call):
    """It is no different from one that ended."""
    assert claim("tr-000000000000-a1").status_code == 410


def test_a_retry_goes_on_from_the_last_checkpoint(here: Platform, call: Call, claim: Call, attempt_id: str):
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
    found = claim(second).json()
    assert found["resume_from"] == [f"file:///c/checkpoint-{number}" for number in (4, 3, 2)]
    assert found["seconds_left"] == MOMENT
    assert found["number"] == 2
    assert found["before"].startswith("attempt 1 ended: It was interrupted from outside")


def test_what_left_the_catalogue_ends_the_training(here: Platform, claim: Call, attempt_id: str, attempt_of: Call):
    """An image that is gone is said so, and is not asked for again and again."""
    folder = here.settings.home / "catalogue"
    folder.mkdir()
    image = "{name: other, core_type: CPU, framework: PYTHON, framework_version: '1', python: '3.11', environment: x}"
    (folder / "images.yaml").write_text(f"- {image}\n")
    answer = claim(attempt_id)
    assert answer.status_code == 410
    assert "no longer in the catalogue" in answer.json()["message"]
    training = attempt_of(attempt_id).training
    assert (training.state, training.reason) == (T.CREATE_FAILED, "PLATFORM")
    assert "no longer in the catalogue" in training.message


def granted(here: Platform, training_id: str) -> str:
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        return verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[]).id


def test_a_place_that_the_platform_does_not_know(here: Platform, claim: Call, make: Call, attempt_of: Call):
    """An object store without keys: its training has failed with the words that help."""
    attempt_id = granted(here, make(output_path="obs://other.host/bucket/x"))
    answer = claim(attempt_id)
    assert answer.status_code == 410
    row = attempt_of(attempt_id)
    assert (row.training.state, row.ended_at is None) == (T.CREATE_FAILED, False)
    assert "other.host" in row.training.message


def test_a_mount_that_was_added_later_is_known(here: Platform, claim: Call, make: Call, tmp_path: Path):
    """Settings and keys are read at every claim, not when the controller started."""
    attempt_id = granted(here, make(output_path="nas://late:/x"))
    (here.settings.home / "settings.yaml").write_text(f"nas: {{late: {tmp_path}}}\n")
    assert claim(attempt_id).json()["storage"]["nas"] == {"late": str(tmp_path)}


def test_a_file_that_is_being_edited_ends_nothing(here: Platform, claim: Call, attempt_id: str, attempt_of: Call):
    """503: the instance asks again until it can be read."""
    file = here.settings.home / "settings.yaml"
    file.write_text("nas: [")
    assert claim(attempt_id).status_code == 503
    assert attempt_of(attempt_id).ended_at is None
    file.unlink()
    assert claim(attempt_id).status_code == 200


def test_a_broken_assignment_shows_no_key():
    """What pydantic says of one does not repeat what it holds."""
    with pytest.raises(ValidationError) as raised:
        Assignment.model_validate({"storage": "the secret", "number": "the secret"})
    assert "the secret" not in str(raised.value)
