"""Starting with a supervisord that is slow to answer."""

from pathlib import Path

import pytest

from blocks.platform import Platform
from blocks.records.database import Records
from blocks.settings import Settings
from deployments.one_machine import start, supervisor
from deployments.one_machine.errors import CannotStart, SupervisordSilent
from deployments.one_machine.supervisor import Program
from tests.conftest import Silent


@pytest.fixture
def starting(tmp_path: Path) -> start._Start:
    return start._Start(Settings(home=tmp_path), Silent())


def test_a_slow_supervisord_is_asked_again(starting: start._Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has told of some parts only is no failure yet."""
    every = {part.name: Program(part.name, "RUNNING", 1, 0, 0, "") for part in starting.parts}
    answers = [{"mlflow": every["mlflow"]}, every]
    monkeypatch.setattr(starting.supervisor, "programs", lambda: answers.pop(0))
    assert starting._programs() == every


def test_one_that_has_ended_is_told(starting: start._Start) -> None:
    """With where it may say why, and without a wait: there is none here."""
    with pytest.raises(CannotStart, match=r"has ended.*supervisord\.log.*`emf up`"):
        starting._programs()


def test_a_busy_supervisord_is_not_taken_for_a_dead_one(
    starting: start._Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` ends nothing beside a supervisord that lives and does not answer; it says what to do."""
    monkeypatch.setattr(supervisor, "ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(supervisor.marks, "parts", lambda home: {"supervisor"})
    monkeypatch.setattr(starting, "_clear", lambda: pytest.fail("what runs was ended"))
    start.folders.prepare(starting.settings)
    with pytest.raises(SupervisordSilent, match="`emf down`, then `emf up`"):
        starting._supervise()


@pytest.fixture
def all_run(starting: start._Start, monkeypatch: pytest.MonkeyPatch) -> start._Start:
    """An `up` where every part runs already, beside records with today's tables."""
    monkeypatch.delenv("EMF_RECORDS_URL", raising=False)
    monkeypatch.setattr(starting, "_supervise", lambda: False)
    monkeypatch.setattr(starting, "_start", lambda stage: set())
    monkeypatch.setattr(starting, "_wait", lambda parts, told: None)
    monkeypatch.setattr(start.deploy, "ensure_pools", lambda settings: None)
    monkeypatch.setattr(start.deploy, "deploy_flows", lambda settings: False)
    Platform(starting.settings).records.migrate()
    return starting


def test_every_up_takes_a_pause_back(
    all_run: start._Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A `down` that was killed while trainings paused leaves parts that all run: `up` says who goes on."""
    asked: list[Path] = []
    monkeypatch.setattr(start, "resume_all", lambda platform: asked.append(platform.settings.home) or 2)
    assert all_run.run()
    assert asked == [all_run.settings.home]
    assert "2 training(s) that were paused go on." in capsys.readouterr().out


def test_records_of_another_platform_are_told(
    all_run: start._Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first `up` tells the folder whose it is; a later one with other records warns, and says what to do."""
    all_run.run()
    assert "Warning" not in capsys.readouterr().out
    other = f"sqlite:///{all_run.settings.home / 'other.db'}"
    Records(other).migrate()
    monkeypatch.setenv("EMF_RECORDS_URL", other)
    all_run.run()
    told = capsys.readouterr().out
    assert "Warning: The records seem not to be those of" in told
    assert "If EMF_RECORDS_URL was forgotten" in told


def test_a_script_that_was_left_running_has_the_time_that_it_was_promised(
    starting: start._Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a supervisord that was killed left behind may be saving: it has no less than `grace_seconds`."""
    graces: list[float] = []
    monkeypatch.setattr(start.marks, "find", lambda home: ["a script"])
    monkeypatch.setattr(start.marks, "describe", str)
    monkeypatch.setattr(start.marks, "end", lambda home, grace: graces.append(grace) or [])
    starting._clear()
    assert graces[0] > starting.settings.grace_seconds
