"""The one supervisord of a platform, where it does not come."""

import sys
from pathlib import Path

import pytest

from deployments.one_machine import supervisor
from deployments.one_machine.errors import CannotStart
from deployments.one_machine.supervisor import Supervisor


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
