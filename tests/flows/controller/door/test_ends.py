"""How an end is told at the door, and what it is answered."""

from collections.abc import Callable
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import trainings
from tests.flows.controller.door.calls import EVIDENCE

Call = Callable[..., Any]


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


def test_what_ended_the_script_is_told_with_what_it_did_then(call: Call, attempt_of: Call, attempt_id: str):
    """An end is told once more when what the script left has been put away: it was not that which was interrupted."""
    evidence = {"evidence": {"cause": "stopped", "signal": 15}}
    for verb in ("run", "stage-out", "stage-out"):
        assert call(verb, evidence).status_code == 200
    told = call("end", evidence).json()["message"]
    assert "interrupted from outside while its script ran" in told
    assert attempt_of(attempt_id).evidence["phase"] == "RUNNING"
    assert call("end", evidence).json()["message"] == told
