"""In which order the platform ends."""

from dataclasses import replace
from pathlib import Path

import pytest

from blocks.hosts.errors import HostAway
from blocks.settings import Settings
from deployments.one_machine import stop, supervisor
from deployments.one_machine.supervisor import Program
from tests.conftest import Silent

SETTINGS = Settings(home=Path("/srv/emf"))


def test_those_who_report_end_before_those_who_listen() -> None:
    """Workers and services first, then the controller, then the servers."""
    running = ["controller", "mlflow", "object_store", "prefect", "tensorboard-1", "worker-control", "worker-process"]
    assert [names for names, _ in stop.stages(SETTINGS, running)] == [
        ["tensorboard-1", "worker-control", "worker-process"],
        ["controller"],
        ["mlflow", "object_store", "prefect"],
    ]


def test_runs_have_their_time_to_end() -> None:
    """The first stage takes no less than the process worker may need, and an empty one takes none."""
    [(names, seconds)] = stop.stages(SETTINGS, ["worker-process"])
    assert names == ["worker-process"]
    assert seconds > 90


def test_down_makes_no_folder(tmp_path: Path) -> None:
    """Where no platform ever was, `emf down` says so and leaves no trace."""
    assert not stop.down(Settings(home=tmp_path / "never"), Silent())
    assert not (tmp_path / "never").exists()


class Busy:
    """Stands for supervisord: it answers nothing when it is asked for the first time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        names = ("controller", "prefect", "worker-process")
        self.now = {name: Program(name, "RUNNING", 7, 0, 0, "") for name in names}
        self.told: list[str] = []
        self.asked: set[tuple[str, ...]] = set()

    def call(self, path: Path, method: str, *arguments: str, within: float) -> object:
        if (method, *arguments[:1]) not in self.asked:
            self.asked.add((method, *arguments[:1]))
            raise HostAway("busy")
        if method == "stopProcess":
            self.told.append(arguments[0])
            self.now[arguments[0]] = replace(self.now[arguments[0]], state="STOPPED", pid=0)
        if method == "shutdown":
            self.now.clear()
        words = ("name", "pid", "start", "now")
        return [
            {word: getattr(one, word) for word in words} | {"statename": one.state, "spawnerr": one.detail}
            for one in self.now.values()
        ]

    def parts(self, home: Path) -> set[str]:
        return {"supervisor", *(name for name, one in self.now.items() if one.pid)}


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Busy:
    (tmp_path / "supervisor").mkdir()
    busy = Busy(tmp_path)
    monkeypatch.setattr(supervisor.rpc, "call", busy.call)
    monkeypatch.setattr(stop.marks, "parts", busy.parts)
    monkeypatch.setattr(stop.marks, "find", lambda home: [])
    monkeypatch.setattr(stop, "suspend_work", lambda settings, show: busy.told.append("pause"))
    return busy


def test_a_busy_supervisord_ends_all_in_order(busy: Busy) -> None:
    """Trainings are asked to pause first, and the controller ends after those who report to it, however slow it is."""
    assert stop.down(Settings(home=busy.home), Silent())
    assert busy.told == ["pause", "worker-process", "controller", "prefect"]


def test_beside_a_silent_supervisord_trainings_pause(
    busy: Busy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They learn it from the controller; then what runs is ended by its mark, and why is told."""
    monkeypatch.setattr(supervisor, "ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(supervisor.rpc, "call", _silent)
    assert stop.down(Settings(home=busy.home), Silent())
    assert busy.told == ["pause"]
    assert "What runs is ended without it" in capsys.readouterr().out


def _silent(*_: object, within: float) -> object:
    raise HostAway("silent")
