"""A training as people see it."""

import json
from collections.abc import Callable

import pytest

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import checkpoints, trainings
from blocks.records.tables import Attempt
from blocks.records.words import TrainingState
from flows.faults import Refused
from flows.training import board, reading, view
from flows.training.ends import attempts
from flows.training.ends.verdict import Cause, Evidence

T = TrainingState


def granted(here: Platform, training_id: str) -> str:
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        return verbs.grant(session, row, machine="here", memory_bytes=1, gpus=["0"]).id


def test_what_is_seen_is_json(here: Platform, make: Callable[..., str]):
    """All of a training, and a line of the list, can be printed as JSON and hold what a page needs."""
    training_id = make()
    found = reading.read(here, training_id)
    rows, total = reading.look(here, "group", [], {}, 50, 0)
    assert json.loads(json.dumps(found)) == found
    assert json.loads(json.dumps(rows)) == rows
    assert total == 1
    assert board.page(found)


def test_the_same_words_in_list_and_page(here: Platform, make: Callable[..., str]):
    """What the list says of a training, the page says too."""
    training_id = make(T.STOPPED)
    (row,), _ = reading.look(here, "", [], {}, 50, 0)
    found = reading.read(here, training_id)
    assert {key: found[key] for key in row} == row
    assert row["created_at"].endswith("+00:00")


def test_a_run_that_cannot_be_started_says_why(here: Platform, make: Callable[..., str]):
    """Before its claim too, a training shows what its attempt tells."""
    training_id = make()
    attempt_id = granted(here, training_id)
    with here.records.writing() as session:
        session.get(Attempt, attempt_id).progress = "cannot be started: not deployed"
    assert reading.read(here, training_id)["message"] == "cannot be started: not deployed"


@pytest.mark.parametrize(
    ("progress", "seen"), [(None, "its run is starting"), ("staging in the code", "staging in the code"), ("", "")]
)
def test_what_it_is_doing(here: Platform, make: Callable[..., str], progress: str | None, seen: str):
    """Before the claim its run is starting; then what the instance says; after its end, why it ended."""
    training_id = make()
    attempt_id = granted(here, training_id)
    if progress is not None:
        with here.records.writing() as session:
            verbs.beat(verbs.claim(session, attempt_id, "token", "run-1"), progress)
    assert reading.read(here, training_id)["message"] == seen
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        verbs.end(session, row.attempts[0], T.STOPPED, reason=None, message="it was stopped", evidence={})
    assert reading.read(here, training_id)["message"] == "it was stopped"


def test_how_it_ended_is_told_of_its_own_end_only(here: Platform, make: Callable[..., str]):
    """A training that goes on after an attempt was killed has no ending of its own; once it has ended it has that."""
    training_id = make()
    killed = {"cause": "exit", "exit_code": 143, "last_lines": ["killed"]}
    for evidence, to in ((killed, T.CREATE_IN_PROGRESS), ({"cause": "exit", "exit_code": 0}, T.STOPPED)):
        attempt_id = granted(here, training_id)
        before = reading.read(here, training_id)
        assert before["evidence"] == {}
        assert "killed" not in board.page(before)
        with here.records.writing() as session:
            attempt = session.get_one(Attempt, attempt_id)
            verbs.end(session, attempt, to, reason=None, message="it ended", evidence=evidence)
    found = reading.read(here, training_id)
    assert found["evidence"]["exit_code"] == 0
    assert [attempt["evidence"]["exit_code"] for attempt in found["attempts"]] == [143, 0]


def test_only_checkpoints_that_are_kept_are_shown(here: Platform, make: Callable[..., str]):
    """Of five committed ones the oldest two were deleted: the page and the JSON have the last three."""
    training_id = make()
    attempt_id = granted(here, training_id)
    with here.records.writing() as session:
        attempt = verbs.claim(session, attempt_id, "token", "run-1")
        for number in range(1, 6):
            checkpoints.committed(session, attempt, number, f"file:///c/checkpoint-{number}", files=1, size=1, keep=3)
    found = reading.read(here, training_id)
    assert found["checkpoints"] == [f"file:///c/checkpoint-{n}" for n in (3, 4, 5)]
    assert [c["number"] for c in found["attempts"][0]["checkpoints"]] == [3, 4, 5]


def test_pages_are_those_that_can_be_opened(here: Platform, make: Callable[..., str]):
    """A run's page once there is a run, MLflow's once there is one; none is made up."""
    training_id = make()
    assert reading.read(here, training_id)["pages"] == {}
    attempt_id = granted(here, training_id)
    with here.records.writing() as session:
        verbs.claim(session, attempt_id, "token", "run-1")
        trainings.find(session, training_id).mlflow_run_id = "m-1"
    assert reading.read(here, training_id)["pages"] == {
        "run": "http://127.0.0.1:4200/v2/runs/flow-run/run-1",
        "mlflow": "http://127.0.0.1:5000/#/experiments/7/runs/m-1",
    }


@pytest.mark.parametrize(("slash", "files"), [("", 2), ("/", 2), ("", 0)])
def test_where_the_model_is(here: Platform, make: Callable[..., str], places: dict, slash: str, files: int):
    """Once it is there, below the output path in a folder of the training's id, with a slash at its end or without."""
    training_id = make(output_path=places["output_path"] + slash)
    attempt_id = granted(here, training_id)
    assert reading.read(here, training_id)["model"] == ""
    evidence = Evidence(Cause.EXIT, exit_code=0, model_files=files)
    with here.records.writing() as session:
        attempt = session.get_one(Attempt, attempt_id)
        verbs.run(session, attempt)
        attempts.close(session, attempt, evidence)
    expected = f"{places['output_path']}/{training_id}/model" if files else ""
    assert reading.read(here, training_id)["model"] == expected


DECOMPOSED, COMPOSED = "\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"


def test_names_and_filters_are_found_in_every_spelling(here: Platform, make: Callable[..., str]):
    """Decomposed letters, as macOS writes Korean, find what was recorded composed: by name, by experiment, by tag."""
    training_id = make(name=COMPOSED, tags={COMPOSED: COMPOSED})
    with here.records.writing() as session:
        trainings.find(session, training_id).experiment.name = COMPOSED
    assert reading.read(here, DECOMPOSED)["id"] == training_id
    assert reading.look(here, DECOMPOSED, [], {DECOMPOSED: DECOMPOSED}, 50, 0)[1] == 1


def test_every_fault_of_a_filter_comes_at_once(here: Platform):
    """An experiment, a state, a tag and a page that cannot be, each by its field, before the records are asked."""
    with pytest.raises(Refused) as caught:
        reading.look(here, "\udcff", ["none"], {"\ud800": ""}, 10**30, -1)
    assert {fault.field for fault in caught.value.faults} == {"experiment", "states", "tags", "limit", "offset"}


@pytest.mark.parametrize(
    ("number", "resumed_from", "lost", "told"),
    [
        (1, "", None, ""),
        (2, "", None, ""),
        (2, "", 65.0, "from the beginning, 1 min 5 s lost"),
        (2, "obs://h/c/kept/tr-1/attempt-1/checkpoint-3", 12.0, "from attempt-1/checkpoint-3, 12 s lost"),
        (1, "obs://h/c/kept/tr-2/attempt-1/checkpoint-3", 0.0, "from obs://h/c/kept/tr-2/attempt-1/checkpoint-3"),
        (1, "obs://h/c/mine", 0.0, "from obs://h/c/mine"),
    ],
)
def test_from_where_an_attempt_went_on(number: int, resumed_from: str, lost: float | None, told: str):
    """In few words where the checkpoint is its own, and what it cost; nothing where it has not been told yet."""
    attempt = {"id": f"tr-1-a{number}", "number": number, "resumed_from": resumed_from, "seconds_lost": lost}
    assert view.went_on(attempt) == told
