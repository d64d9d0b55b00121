"""The one supervisord of a platform, where it does not come."""

import sys
from pathlib import Path

import pytest

from blocks.hosts.errors import HostAway
from deployments.one_machine import supervisor
from deployments.one_machine.errors import CannotStart, SupervisordSilent
from deployments.one_machine.supervisor import Program, Supervisor
from tests.conftest import Silent


def test_one_that_is_slow_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time that it had, its log and what to do; there is no traceback of ours."""
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.2)
    (tmp_path / "supervisor").mkdir()
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 20\n")
    slow.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(slow))
    with pytest.raises(CannotStart, match=r"within 0\.2 s.*supervisord\.log.*`emf up`"):
        Supervisor(tmp_path).spawn("", {"PATH": "/usr/bin:/bin"})


def test_where_none_is_nothing_is_waited_for(tmp_path: Path) -> None:
    """Without a process there is nobody to ask again; who asks but once is told."""
    assert Supervisor(tmp_path).wait_for_programs(Silent().waiting) is None
    with pytest.raises(HostAway):
        Supervisor(tmp_path).programs()


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """One whose process is there, and whose socket does not answer."""
    monkeypatch.setattr(supervisor.marks, "parts", lambda home: {"supervisor"})
    return Supervisor(tmp_path)


def test_one_that_is_busy_is_asked_again(busy: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it answers: meanwhile its programs run."""
    every = {"mlflow": Program("mlflow", "RUNNING", 1, 0, 0, "")}
    asked: list[list[str]] = []
    silent = busy.programs
    monkeypatch.setattr(busy, "programs", lambda: every if asked else silent())
    assert busy.wait_for_programs(asked.append) == every
    assert asked == [["supervisord"]]


def test_one_that_stays_silent_is_told(busy: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its log and what to do, when the time is over."""
    monkeypatch.setattr(supervisor, "ANSWER_SECONDS", 0.0)
    with pytest.raises(SupervisordSilent, match=r"supervisord\.log; `emf down`, then `emf up`"):
        busy.wait_for_programs(Silent().waiting)
