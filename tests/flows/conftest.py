"""A platform of a test's own, without a server: real records and real folders; and trainings in any state."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks import settings
from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import experiments, trainings
from blocks.records.database import Records
from blocks.records.tables import Attempt, now
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState, TrainingState

E, T = ExperimentState, TrainingState


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with today's tables, made once."""
    file = tmp_path_factory.mktemp("records") / "records.db"
    made = Records(f"sqlite:///{file}")
    made.migrate()
    made.engine.dispose()
    return file


@pytest.fixture
def here(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A platform in a folder of its own, which EMF_HOME names; nothing of it runs."""
    home = tmp_path / "emf"
    home.mkdir()
    shutil.copy(migrated, home / "records.db")
    monkeypatch.setenv("EMF_HOME", str(home))
    monkeypatch.delenv("EMF_RECORDS_URL", raising=False)
    return Platform(settings.load(home))


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Any]:
    """A request that can be carried out: its script and data are there, its output and checkpoints can be written."""
    for folder in ("code", "data", "output", "checkpoints"):
        (tmp_path / "places" / folder).mkdir(parents=True)
    root = tmp_path / "places"
    script = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--learning-rate')\np.parse_args()\n"
    (root / "code" / "train.py").write_text(script)
    (root / "data" / "digits.csv").write_text("1,2,3\n")
    return {
        "name": "digits",
        "experiment": "group",
        "algorithm_path": f"file://{root}/code",
        "entry_point": "train.py",
        "image": "pytorch-2.13-cpu-py311",
        "instance_type": "cpu.small",
        "output_path": f"file://{root}/output",
        "checkpoint_path": f"file://{root}/checkpoints",
        "data_sets": [{"name": "digits", "path": f"file://{root}/data"}],
        "hyperparameters": {"learning-rate": "0.1"},
        "tags": {"team": "red"},
        "description": "",
        "instance_count": 1,
        "maximum_time": "1h",
        "data_storage_gb": 10,
    }


WAYS: dict[TrainingState, list[TrainingState]] = {
    T.COMPLETE_IN_PROGRESS: [T.RUNNING],
    T.COMPLETE: [T.RUNNING, T.COMPLETE_IN_PROGRESS],
    T.STOP_IN_PROGRESS: [T.RUNNING],
    T.FAIL_TRAIN_IN_PROGRESS: [T.RUNNING],
    T.FAIL_TRAIN: [T.RUNNING, T.FAIL_TRAIN_IN_PROGRESS],
}
Made = Callable[..., str]


@pytest.fixture
def make(here: Platform, places: dict[str, Any]) -> Made:
    """Record a training in a state, in the experiment `group`; returns its id."""

    def made(state: TrainingState = T.CREATE_IN_PROGRESS, **fields: Any) -> str:
        with here.records.writing() as session:
            group = experiments.lookup(session, "group")
            if group is None:
                group = experiments.record(session, "group", "", {})
                transition(session, group, E.CREATE_IN_PROGRESS)
                transition(session, group, E.ACTIVE)
                group.mlflow_id = "7"
            request = places | fields
            row = trainings.record(session, group, request, request_key="", digest=str(fields))
            steps = [] if state == T.CREATE_REQUESTED else [T.CREATE_IN_PROGRESS, *WAYS.get(state, []), state]
            for step in dict.fromkeys(steps):
                transition(session, row, step)
            return row.id

    return made


@pytest.fixture
def attempt_of(here: Platform) -> Callable[[str], Attempt]:
    """Return an attempt with its training, as the records have it now."""

    def found(attempt_id: str) -> Attempt:
        with here.records.reading() as session:
            row = session.get(Attempt, attempt_id)
            assert row is not None
            return row

    return found


@pytest.fixture
def ended(here: Platform, make: Callable[..., str]) -> Made:
    """End an attempt, which left these files in its checkpoint folder; returns its id."""

    def go(
        to: TrainingState, files: dict[str, str], *, state: TrainingState = T.RUNNING, ago: float = 0, **fields: Any
    ) -> str:
        training_id = make(state, **fields)
        with here.records.writing() as session:
            attempt = verbs.grant(
                session, trainings.find(session, training_id), machine="here", memory_bytes=1, gpus=[]
            )
            verbs.end(session, attempt, to, reason=None, message="", evidence={})
            attempt.ended_at = now() - timedelta(seconds=ago)
        folder = checkpoint_folder(here, attempt.id)
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        return attempt.id

    return go


def checkpoint_folder(here: Platform, attempt_id: str) -> Path:
    return here.settings.home / "work" / attempt_id / "instance-0" / "checkpoint"


@pytest.fixture
def unprivileged() -> Iterator[Callable[[], None]]:
    """Call it to go on as a user who owns nothing; the test's end restores the one before."""
    before = os.geteuid()

    def drop() -> None:
        if before == 0:
            os.seteuid(65534)

    yield drop
    os.seteuid(before)
