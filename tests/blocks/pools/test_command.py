"""A command that is ended leaves nothing running."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from blocks.pools.command import CommandStopped, stream

# Told to end, it starts another process and goes: that one was not there when all were told.
HEIR = "trap 'sleep 60 & exit 1' TERM; echo ready; while true; do sleep 0.05; done"
# Each of its processes is followed by another.
LINE_OF_HEIRS = "echo ready; go() { (sleep 0.3; go) & wait; }; go"


def here(folder: Path) -> list[int]:
    """Return the processes that work in a folder."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("script", [HEIR, LINE_OF_HEIRS])
def test_what_a_command_starts_while_it_is_ended_ends_too(script: str, tmp_path: Path):
    """A process that was started after the signals were sent belongs to its session."""
    said: list[str] = []
    stop: Callable[[], bool] = lambda: bool(said)  # noqa: E731
    with pytest.raises(CommandStopped):
        stream(
            ["bash", "-c", script], env=dict(os.environ), cwd=tmp_path, line=said.append, seconds=20, should_stop=stop
        )
    assert here(tmp_path) == []
