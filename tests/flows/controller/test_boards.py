"""The boards in Prefect's UI; only Prefect's artifacts are kept in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from blocks.platform import Platform
from blocks.pools.errors import PrefectAway
from blocks.records import repairs
from blocks.records.tables import now
from flows.controller import boards as publishing
from flows.controller.boards import Boards
from flows.controller.pulse import Pulse
from flows.reconcile.findings import Finding, Repair
from flows.reconcile.report import Report


class FakeArtifacts:
    """Prefect's artifacts, by their key; `faults` are answered to the creation of some."""

    def __init__(self) -> None:
        self.there: dict[str, tuple[UUID, str]] = {}
        self.faults: dict[str, Exception] = {}

    def read_artifacts(self, artifact_filter: Any, **_how: Any) -> list[Any]:
        (key,) = artifact_filter.key.any_
        return [SimpleNamespace(id=self.there[key][0])] if key in self.there else []

    def update_artifact(self, artifact_id: UUID, artifact: Any) -> None:
        for key, (known, _) in self.there.items():
            if known == artifact_id:
                self.there[key] = (known, artifact.data)
                return
        raise answered(404)

    def create_artifact(self, artifact: Any) -> Any:
        if fault := self.faults.get(artifact.key):
            raise fault
        self.there[artifact.key] = (uuid4(), artifact.data)
        return SimpleNamespace(id=self.there[artifact.key][0])


def answered(status: int) -> PrefectHTTPStatusError:
    request = httpx.Request("PATCH", "http://prefect/artifacts")
    return PrefectHTTPStatusError("no", request=request, response=httpx.Response(status, request=request))


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> FakeArtifacts:
    found = FakeArtifacts()

    @contextmanager
    def client(**_how: Any) -> Iterator[FakeArtifacts]:
        yield found

    monkeypatch.setattr(publishing, "connected", client)
    monkeypatch.setattr(publishing, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(publishing, "Forms", lambda _settings: SimpleNamespace(link=lambda text, *_rest: text))
    return found


def test_a_board_that_changes_stays_one_artifact(here: Platform, make: Any, artifacts: FakeArtifacts):
    """It is made once and rewritten; also by a controller that was started anew."""
    Boards(here).publish()
    before = artifacts.there["trainings"]
    make()
    Boards(here).publish()
    after = artifacts.there["trainings"]
    assert after[0] == before[0]
    assert "digits" in after[1]
    assert "digits" not in before[1]


def test_a_board_that_was_deleted_comes_back(here: Platform, make: Any, artifacts: FakeArtifacts):
    """The next change makes it anew."""
    boards = Boards(here)
    boards.publish()
    artifacts.there.clear()
    make()
    with here.records.writing() as session:
        repairs.write(session, "tr-1-a1", "end", "lost: silent")
    boards.publish()
    assert set(artifacts.there) == {"trainings", "experiments", "reconcile"}


@pytest.mark.parametrize("fault", [answered(500), httpx.ConnectError("away"), ValueError("odd")])
def test_a_board_that_fails_holds_up_no_other(here: Platform, artifacts: FakeArtifacts, fault: Exception):
    """The other is published, and the failure is told; later the first is as well."""
    boards = Boards(here)
    artifacts.faults["trainings"] = fault
    with pytest.raises(ValueError if isinstance(fault, ValueError) else PrefectAway):
        boards.publish()
    assert set(artifacts.there) == {"experiments", "reconcile"}
    artifacts.faults.clear()
    boards.publish()
    assert set(artifacts.there) == {"trainings", "experiments", "reconcile"}


def test_the_board_of_repairs_is_kept_current(
    here: Platform, artifacts: FakeArtifacts, monkeypatch: pytest.MonkeyPatch
):
    """A repair is there at once, with the look that made it; looks that find nothing are told once a minute."""
    pulse, moment = Pulse(), 1000.0
    monkeypatch.setattr(publishing.time, "monotonic", lambda: moment)
    boards = Boards(here, pulse)

    def board_after(seconds: float, attempts: int) -> str:
        nonlocal moment
        moment += seconds
        pulse.report = Report(now(), 0.1, attempts)
        boards.publish()
        return artifacts.there["reconcile"][1]

    boards.publish()
    assert "has not looked yet" in artifacts.there["reconcile"][1]
    assert "1 attempt looked at" in board_after(3, 1)
    assert "1 attempt looked at" in board_after(3, 2)
    with here.records.writing() as session:
        repairs.write(session, "tr-1-a1", "end", "lost: silent")
    repaired = board_after(3, 3)
    assert "| tr-1-a1 | end | lost: silent |" in repaired
    assert "3 attempts looked at" in repaired
    assert "3 attempts looked at" in board_after(publishing.LOOK_SECONDS - 1, 4)
    assert "5 attempts looked at" in board_after(1, 5)


def test_what_only_a_person_can_judge_stands_on_the_board(
    here: Platform, artifacts: FakeArtifacts, monkeypatch: pytest.MonkeyPatch
):
    """It is found by a look that comes every few minutes, and stays there beside those that come every two seconds."""
    pulse = Pulse()
    boards = Boards(here, pulse)
    pulse.report = Report(now(), 0.1, 4)
    boards.publish()
    pulse.thorough = Report(now(), 0.3, 7, [Finding("/kept/tr-9", Repair.ASK, "look what it is")])
    monkeypatch.setattr(publishing, "PAUSE_SECONDS", 0.0)
    boards.publish()  # at once, not with the next look that is told
    text = artifacts.there["reconcile"][1]
    assert "Last look:" in text
    assert "4 attempts looked at" in text
    assert "Last thorough look:" in text
    assert "**for a person**: /kept/tr-9: look what it is" in text
