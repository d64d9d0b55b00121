"""An attempt that is stopped for longer than its lease, given up for dead, and comes back: nothing it does counts."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from types import ModuleType
from typing import Any

import psutil

from blocks.platform import Platform
from blocks.storage.location import parse
from tests.platform.batch import ENDS, STARTS
from tests.platform.deadlines import within
from tests.platform.killing import find

FOUND_SECONDS = 20  # within which a dead attempt is found, on one machine
BUSY_SECONDS = 20  # that others of the batch may cost on top of it
STEPS = 4000


def processes_of(connections: Platform, training_id: str) -> list[psutil.Process]:
    """Return the run, the launcher and the script of a training."""
    return [one for who in ("run", "launcher", "script") for one in find(who, connections, training_id)]


def send(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_who_comes_back_from_the_dead_is_fenced(
    api: ModuleType,
    asked: Callable[..., dict[str, Any]],
    connections: Platform,
    mlflow_run: Callable[[str], dict[str, dict[str, str]]],
):
    """It is found dead within twenty seconds, ends itself when it wakes, and the next attempt's end is the only one."""
    request = asked("stopped for long", entry_point="descends.py")
    request["hyperparameters"] = {"steps": str(STEPS), "pause": "0.005", "every": "400"}
    training_id = api.create_training(**request)["id"]
    within(STARTS, lambda: api.show_training(training_id)["checkpoints"], "a checkpoint")
    stopped, began = processes_of(connections, training_id), time.time()
    assert len(stopped) >= 3
    send(stopped, signal.SIGSTOP)
    first = within(60, lambda: _ended(api.show_training(training_id)), "the end of what fell silent")
    send(stopped, signal.SIGCONT)
    took = datetime.fromisoformat(first["ended_at"]).timestamp() - began
    print(f"found dead after {took:.1f} s")
    assert took < FOUND_SECONDS + BUSY_SECONDS
    assert first["reason"] == "MACHINE_LOST"
    within(15, lambda: not alive(stopped), "the end of those that came back")
    found = api.wait_for(training_id, seconds=ENDS)
    assert found["state"] == "COMPLETE", (found["message"], found["attempts"])
    again = found["attempts"][0]
    assert (again["reason"], again["ended_at"], again["message"]) == (
        "MACHINE_LOST",
        first["ended_at"],
        first["message"],
    )
    marker = connections.storage.read(parse(f"{found['output']}/model.json", 2048))
    assert f'"attempt": {len(found["attempts"])}'.encode() in marker
    assert mlflow_run(found["mlflow_run_id"])["info"]["status"] == "FINISHED"


def _ended(found: dict[str, Any]) -> dict[str, Any] | None:
    first = found["attempts"][0]
    return first if first["ended_at"] else None
