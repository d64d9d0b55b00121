"""Records of a test's own: a real SQLite file with today's tables, an active experiment, and what a training asks."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from blocks.records import experiments, trainings
from blocks.records.database import Records
from blocks.records.tables import Experiment, Training
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState, TrainingState

REQUEST: dict[str, Any] = {
    "name": "digits",
    "description": "",
    "tags": {},
    "image": "pytorch-2.13-cpu-py311",
    "instance_type": "cpu.small",
}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with today's tables, made once."""
    file = tmp_path_factory.mktemp("records") / "records.db"
    made = Records(f"sqlite:///{file}")
    made.migrate()
    made.engine.dispose()
    return file


@pytest.fixture
def records(migrated: Path, tmp_path: Path) -> Records:
    return Records(f"sqlite:///{shutil.copy(migrated, tmp_path / 'records.db')}")


def active_experiment(session: Session, name: str = "group") -> Experiment:
    row = experiments.record(session, name, "", {})
    transition(session, row, ExperimentState.CREATE_IN_PROGRESS)
    transition(session, row, ExperimentState.ACTIVE)
    return row


@pytest.fixture
def make(records: Records) -> Callable[..., str]:
    """Record a training, waiting for its machine; returns its id."""

    def made(state: TrainingState = TrainingState.CREATE_IN_PROGRESS, key: str = "", **fields: Any) -> str:
        with records.writing() as session:
            group = experiments.lookup(session, "group") or active_experiment(session)
            row = trainings.record(session, group, REQUEST | fields, request_key=key, digest=str(fields))
            walk(session, row, state)
            return row.id

    return made


WAYS: dict[TrainingState, list[TrainingState]] = {
    TrainingState.CREATE_REQUESTED: [],
    TrainingState.CREATE_IN_PROGRESS: [],
    TrainingState.RUNNING: [],
    TrainingState.COMPLETE: [TrainingState.RUNNING, TrainingState.COMPLETE_IN_PROGRESS],
    TrainingState.COMPLETE_IN_PROGRESS: [TrainingState.RUNNING],
    TrainingState.STOP_IN_PROGRESS: [TrainingState.RUNNING],
    TrainingState.STOPPED: [TrainingState.RUNNING, TrainingState.STOP_IN_PROGRESS],
    TrainingState.FAIL_TRAIN_IN_PROGRESS: [TrainingState.RUNNING],
    TrainingState.FAIL_TRAIN: [TrainingState.RUNNING, TrainingState.FAIL_TRAIN_IN_PROGRESS],
    TrainingState.CREATE_FAILED: [],
    TrainingState.DELETE_IN_PROGRESS: [TrainingState.STOPPED],
    TrainingState.DELETE_FAILED: [TrainingState.STOPPED, TrainingState.DELETE_IN_PROGRESS],
}


def walk(session: Session, row: Training, state: TrainingState) -> None:
    """Bring a requested training to a state, on an allowed way."""
    if state == TrainingState.CREATE_REQUESTED:
        return
    steps = [TrainingState.CREATE_IN_PROGRESS, *WAYS[state], state]
    for step in dict.fromkeys(steps):
        transition(session, row, step)
