"""Telling Prefect of the flows, where Prefect is busy."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import tenacity

from blocks.settings import Settings
from deployments.one_machine import deploy
from deployments.one_machine.errors import DeployFailed, PrefectBusy

LOCKED = "PrefectHTTPStatusError: Server error '503 Service\nUnavailable' for url 'http://127.0.0.1:4200/api/'"


@pytest.mark.parametrize(
    ("said", "busy"),
    [
        (LOCKED, True),
        ("httpx.ConnectError: All connection attempts failed", True),
        ("(sqlite3.OperationalError) database is\n  locked", True),
        ("SyntaxError: invalid syntax, line 503", False),
        ("Client error '422 Unprocessable Entity'", False),
        ("", False),
    ],
)
def test_what_passes_by_itself(said: str, busy: bool) -> None:
    """A server that is away or locked, however its words are folded; a flow that is broken is not."""
    assert deploy.is_busy(said) == busy


@pytest.mark.parametrize(
    ("answers", "error", "tries"),
    [
        ([LOCKED, LOCKED, ""], None, 3),
        ([LOCKED] * 9, PrefectBusy, 3),
        (["SyntaxError: invalid syntax"] * 9, DeployFailed, 1),
    ],
)
def test_a_busy_prefect_is_asked_again(
    answers: list[str], error: type[Exception] | None, tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times at most, and only where that may help; the last words are told."""
    asked: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(answers[len(asked)])
        return subprocess.CompletedProcess(command, int(bool(asked[-1])), "", asked[-1])

    monkeypatch.setattr(deploy.subprocess, "run", run)
    patient = deploy._deploy_all.retry_with(wait=tenacity.wait_none())
    if error is None:
        patient(Settings(home=tmp_path))
    else:
        with pytest.raises(error, match="prefect deploy") as caught:
            patient(Settings(home=tmp_path))
        assert type(caught.value) is error
    assert len(asked) == tries
