"""The tables of transitions, walked."""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.records import trainings
from blocks.records.database import Records
from blocks.records.errors import NotAllowed
from blocks.records.tables import Training
from blocks.records.transitions import EXPERIMENT, TRAINING, allowed, transition
from blocks.records.words import TERMINAL, ExperimentState, Reason, TrainingState

E, T = ExperimentState, TrainingState
ROOT = Path(__file__).parents[3]
TABLES = {"experiment": EXPERIMENT, "training": TRAINING}


def reachable(table: Mapping[str, frozenset[str]], start: str) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = table[waiting.pop()] - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize(("kind", "states"), [("experiment", E), ("training", T)])
def test_every_state_has_a_row_and_is_reached(kind: str, states: type):
    """From CREATE_REQUESTED the table leads to every state of the list, and knows no other."""
    table = TABLES[kind]
    assert set(table) == set(states)
    assert reachable(table, states.CREATE_REQUESTED) == set(states)


def test_what_has_ended_can_only_be_deleted():
    """From a terminal state nothing is allowed but the deletion, and from the deletion nothing leads back."""
    assert {T.COMPLETE, T.STOPPED, T.FAIL_TRAIN, T.CREATE_FAILED} == TERMINAL
    for state in TERMINAL:
        assert TRAINING[state] == {T.DELETE_IN_PROGRESS}
    for table, word in ((TRAINING, T), (EXPERIMENT, E)):
        assert reachable(table, word.DELETE_IN_PROGRESS) == {word.DELETE_IN_PROGRESS, word.DELETE_FAILED}


@pytest.mark.parametrize("state", [state for state in T if not state.startswith("DELETE")])
def test_every_training_can_end(state: TrainingState):
    """No state is a trap: from each that is alive, one that has ended is reached."""
    assert reachable(TRAINING, state) & TERMINAL


@pytest.mark.parametrize("state", list(E))
def test_every_experiment_can_be_deleted(state: ExperimentState):
    """No state is a trap: from each, DELETE_IN_PROGRESS is reached."""
    assert E.DELETE_IN_PROGRESS in reachable(EXPERIMENT, state)


@given(st.lists(st.sampled_from(list(T)), max_size=12))
def test_a_walk_never_leaves_the_table(steps: list[TrainingState]):
    """Whatever is asked in whatever order, a training that completed had run, and one that stopped is never alive."""
    state, passed = T.CREATE_REQUESTED, {T.CREATE_REQUESTED}
    for step in steps:
        if allowed("training", state, step):
            assert state not in TERMINAL or step == T.DELETE_IN_PROGRESS
            state = step
            passed.add(step)
    if T.COMPLETE in passed:
        assert {T.RUNNING, T.COMPLETE_IN_PROGRESS} <= passed
    if T.FAIL_TRAIN in passed:
        assert T.FAIL_TRAIN_IN_PROGRESS in passed


def test_a_transition_writes_its_event(records: Records, make: Callable[..., str]):
    """State, reason, message and evidence are on the record, and the event tells the same."""
    training_id = make()
    with records.writing() as session:
        row = trainings.find(session, training_id)
        transition(session, row, T.STOPPED, reason=Reason.USER, message="enough", evidence={"exit_code": 0})
    with records.reading() as session:
        row = trainings.find(session, training_id)
        event = trainings.events_of(session, "training", training_id)[-1]
    assert (row.state, row.reason, row.message, row.evidence) == (T.STOPPED, "USER", "enough", {"exit_code": 0})
    assert row.ended_at == row.changed_at
    assert (event.state, event.reason, event.message, event.name) == (T.STOPPED, "USER", "enough", "digits")


def test_what_the_table_lacks_changes_nothing(records: Records, make: Callable[..., str]):
    """A transition that is not allowed names the record and both states, and leaves record and events alone."""
    training_id = make(T.COMPLETE)
    with records.writing() as session, pytest.raises(NotAllowed) as caught:
        transition(session, trainings.find(session, training_id), T.RUNNING, reason=Reason.USER)
    assert all(word in str(caught.value) for word in (training_id, "COMPLETE", "RUNNING"))
    with records.reading() as session:
        assert trainings.find(session, training_id).state == T.COMPLETE
        assert trainings.events_of(session, "training", training_id)[-1].state == T.COMPLETE


def test_a_reason_does_not_outlive_its_state(records: Records, make: Callable[..., str]):
    """The reason of an earlier state is gone at the next transition; only what has ended has an end."""
    training_id = make(T.RUNNING)
    with records.writing() as session:
        row = trainings.find(session, training_id)
        transition(session, row, T.CREATE_IN_PROGRESS, reason=Reason.INTERRUPTED, message="again")
        transition(session, row, T.RUNNING)
        assert (row.reason, row.message, row.ended_at) == ("", "", None)


def assignments_of_state(source: str) -> list[int]:
    """Return the lines of a module that assign to an attribute called `state`, or call `setattr` with that name."""
    found: list[int] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del) and node.attr == "state":
            found.append(node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            found += [node.lineno for a in node.args if isinstance(a, ast.Constant) and a.value == "state"]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
            found += [node.lineno for keyword in node.keywords if keyword.arg == "state"]
    return sorted(found)


def test_the_watcher_of_assignments_sees_them():
    """Plain, tuple, augmented and roundabout assignments are all seen; a comparison is none."""
    assert assignments_of_state("a.state = 1\n(a.state, b) = x\nsetattr(a, 'state', 1)\na.state == 1") == [1, 2, 3]
    assert assignments_of_state("update(Training).values(state='COMPLETE')") == [1]


def test_only_transitions_changes_a_state():
    """No module but transitions.py assigns to `.state`."""
    files = [file for room in ("flows", "blocks", "deployments") for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 50
    changing = {file.relative_to(ROOT).as_posix() for file in files if assignments_of_state(file.read_text("utf-8"))}
    assert changing == {"blocks/records/transitions.py"}


def test_a_new_training_is_requested(records: Records, make: Callable[..., str]):
    """The first state comes from the table's definition, not from a caller."""
    with records.reading() as session:
        assert session.get(Training, make(T.CREATE_REQUESTED)).state == T.CREATE_REQUESTED
