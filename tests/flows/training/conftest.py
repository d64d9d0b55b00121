"""An instance of a training's attempt, with its folders and its log; its door leads nowhere."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from blocks.logs import LocalSink
from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.storage.storage import Storage
from flows.controller.assign import Assigner
from flows.training.assignment import work_folder
from flows.training.checkpoints.checkpoint import Committed
from flows.training.instances.contract import Rank
from flows.training.instances.door import Door, GivenUp
from flows.training.instances.instance import Instance, ScriptLog


class Told(Door):
    """A door that keeps what is told, where no controller is asked."""

    def __init__(self, attempt_id: str) -> None:
        super().__init__("http://127.0.0.1:9", attempt_id)
        self.warnings: list[str] = []
        self.confirmed = 0
        self.runs = 0
        self.went_on: list[tuple[str, bool, list[str]]] = []

    def run(self) -> None:
        self.runs += 1

    def resumed(self, path: str, *, is_verified: bool, differs: Sequence[str]) -> None:
        self.went_on.append((path, is_verified, list(differs)))

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def make_sure(self) -> None:
        if self.given_up.is_set():
            raise GivenUp("This attempt was given up.")

    def confirm(self) -> None:
        if self.given_up.is_set():
            raise GivenUp("This attempt was given up.")
        self.confirmed += 1


@pytest.fixture
def instance(here: Platform, make: Callable[..., str]) -> Iterator[Callable[..., Instance]]:
    """Make the instance of a new training's first attempt; fields are those of its request."""
    logs: list[ScriptLog] = []

    def made(**fields: Any) -> Instance:
        training_id = make(**fields)
        with here.records.writing() as session:
            row = trainings.find(session, training_id)
            attempt = verbs.grant(session, row, machine="here", memory_bytes=2**30, gpus=[])
            assignment = Assigner(here).assignment(attempt)
        log = ScriptLog(LocalSink(here.settings.home, training_id, 1, 0), training_id, 1, 0)
        logs.append(log)
        root = work_folder(here.settings.home, assignment.attempt_id) / "instance-0"
        return Instance(assignment, Rank(0, 1, ("127.0.0.1",), 1), root, here.storage, log, Told(assignment.attempt_id))

    yield made
    for log in logs:
        log.close()


@pytest.fixture
def root(places: dict[str, Any], tmp_path: Path) -> Path:
    """Where the places of a request are on this machine."""
    assert places
    return tmp_path / "places"


@pytest.fixture
def storage() -> Storage:
    return Storage({}, {})


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where checkpoints are kept."""
    return tmp_path / "there"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a script writes its checkpoints to."""
    found = tmp_path / "instance" / "checkpoint"
    found.mkdir(parents=True)
    return found


@pytest.fixture
def told() -> list[Committed]:
    return []
