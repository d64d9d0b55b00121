"""Ends that come from outside: a stop in each state, a cancel in Prefect, the maximum time, a run that is killed."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from types import ModuleType

import httpx
import psutil
import pytest

from blocks.platform import Platform
from blocks.pools import processes
from blocks.settings import Settings
from blocks.storage.location import parse
from tests.platform.batch import STARTS, Batch, Training
from tests.platform.deadlines import within

GRACE = 25
WHEN: Mapping[str, Callable[[Training], object]] = {
    "staging-in": lambda found: "the data set many" in found["message"],
    "staging-out": lambda found: found["state"] == "COMPLETE_IN_PROGRESS",
    "stopped": lambda found: found["state"] == "RUNNING" and found["checkpoints"],
    "cancelled": lambda found: found["state"] == "RUNNING" and found["checkpoints"],
    "deaf": lambda found: found["state"] == "RUNNING",
    "lost": lambda found: found["state"] == "RUNNING" and found["checkpoints"],
}


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def states(found: Training) -> list[str]:
    return [event["state"] for event in found["events"] if event["state"]]


def run_of(found: Training) -> str:
    return found["pages"]["run"].rpartition("/")[2]


def cancel(prefect: httpx.Client, found: Training) -> None:
    """Cancel its run, as the button in Prefect's UI does."""
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    prefect.post(f"/flow_runs/{run_of(found)}/set_state", json=state).raise_for_status()


def kill(found: Training) -> None:
    """End every process of its run with SIGKILL, but not its launcher and script."""
    killed = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("PREFECT__FLOW_RUN_ID") == run_of(found):
                process.kill()
                killed += 1
    assert killed


@pytest.fixture(scope="module")
def asked_to_end(batch: Batch, api: ModuleType, prefect: httpx.Client) -> Mapping[str, Training]:
    """Each meets its end as soon as it is in the state that is meant; what it was then."""
    waiting, then = dict(WHEN), dict[str, Training]()
    deadline = time.monotonic() + STARTS
    while waiting:
        assert time.monotonic() < deadline, f"never in the state that was meant: {list(waiting)}"
        for name, is_there in list(waiting.items()):
            found = batch.now(name)
            assert not found["ended_at"], f"{name} has ended: {found['state']} {found['message']}"
            if is_there(found):
                then[name] = found
                del waiting[name]
                if name == "cancelled":
                    cancel(prefect, found)
                elif name == "lost":
                    kill(found)
                else:
                    api.stop_training(batch[name])
                if name == "deaf":
                    then["stopped again"] = api.stop_training(batch[name])
                break  # a stop takes seconds: those whose moment is short are looked at first again
        time.sleep(0.3)
    return then


@pytest.fixture
def kept(connections: Platform) -> Callable[[Training], str]:
    """Return why the script of `counts.py` saved the last time, as its newest checkpoint says."""

    def why(found: Training) -> str:
        place = parse(f"{found['checkpoints'][-1]}/why", 2048)
        assert connections.storage.stat(parse(f"{found['checkpoints'][-1]}.committed", 2048))
        return connections.storage.read(place).decode() if connections.storage.stat(place) else ""

    return why


def test_a_stop_while_its_data_come_ends_it_before_its_script_starts(
    batch: Batch, asked_to_end: Mapping[str, Training], platform: Settings
):
    """STOPPED for USER, never RUNNING, and its folder on the instance is gone."""
    found = batch.ended("staging-in")
    assert (found["state"], found["reason"]) == ("STOPPED", "USER")
    assert found["attempts"][0]["running_at"] == ""
    assert states(found) == ["CREATE_REQUESTED", "CREATE_IN_PROGRESS", "STOP_IN_PROGRESS", "STOPPED"]
    within(60, lambda: not (platform.home / "work" / f"{found['id']}-a1").exists(), "the end of its folder")


def test_a_stop_lets_the_script_save_and_keeps_what_it_saved(
    batch: Batch, asked_to_end: Mapping[str, Training], kept: Callable[[Training], str]
):
    """The script gets SIGTERM; what it saves then is a committed checkpoint of the stopped training."""
    found = batch.ended("stopped")
    assert (found["state"], found["reason"], kept(found)) == ("STOPPED", "USER", "SIGTERM")
    assert states(found)[-3:] == ["RUNNING", "STOP_IN_PROGRESS", "STOPPED"]


def test_a_stop_after_the_end_changes_nothing(batch: Batch, asked_to_end: Mapping[str, Training], api: ModuleType):
    """The answer is the training as it ended."""
    before = batch.ended("stopped")
    assert api.stop_training(batch["stopped"]) == before


def test_a_cancel_in_prefect_is_a_stop(
    batch: Batch, asked_to_end: Mapping[str, Training], prefect: httpx.Client, kept: Callable[[Training], str]
):
    """What the script saved is kept, the training is STOPPED for USER, its run Cancelled."""
    found = batch.ended("cancelled")
    assert (found["state"], found["reason"], kept(found)) == ("STOPPED", "USER", "SIGTERM")
    run = prefect.get(f"/flow_runs/{run_of(found)}").json()
    assert (run["state_type"], len(found["attempts"])) == ("CANCELLED", 1)


def test_a_stop_while_the_model_leaves_abandons_it(
    batch: Batch, asked_to_end: Mapping[str, Training], files: Callable[[str], list[str]]
):
    """STOPPED after COMPLETE_IN_PROGRESS; no marker lies beside what had been sent: there is no model."""
    found = batch.ended("staging-out")
    assert states(found)[-3:] == ["COMPLETE_IN_PROGRESS", "STOP_IN_PROGRESS", "STOPPED"]
    assert found["reason"] == "USER"
    assert "model.json" not in files(found["output"])


def test_a_script_that_takes_no_notice_is_killed_after_its_grace(batch: Batch, asked_to_end: Mapping[str, Training]):
    """Not before, and soon after; and so is what it started in a session of its own. A second stop hurries nothing."""
    assert asked_to_end["stopped again"]["state"] == "STOP_IN_PROGRESS"
    found = batch.ended("deaf")
    assert states(found)[-2:] == ["STOP_IN_PROGRESS", "STOPPED"]
    assert (found["state"], found["reason"], found["evidence"]["signal"]) == ("STOPPED", "USER", 9)
    asked = next(event["time"] for event in found["events"] if event["state"] == "STOP_IN_PROGRESS")
    assert GRACE < seconds_between(asked, found["ended_at"]) < GRACE + 30
    assert f"{found['id']}-a1" not in processes.running()


def test_the_maximum_time_ends_it_as_a_stop_does(batch: Batch, kept: Callable[[Training], str]):
    """STOPPED for MAX_TRAINING_TIME after a minute of RUNNING; what it saved at SIGTERM is kept."""
    found = batch.ended("maximum")
    assert (found["state"], found["reason"], kept(found)) == ("STOPPED", "MAX_TRAINING_TIME", "SIGTERM")
    assert 60 <= found["seconds_trained"] < 75


def test_a_run_that_was_killed_is_tried_again_from_its_checkpoint(
    batch: Batch, asked_to_end: Mapping[str, Training], log: Callable[[str], list[str]], prefect: httpx.Client
):
    """Its script ends with it; the next attempt goes on after what was kept, to the end; Prefect shows a crash."""
    found = batch.ended("lost")
    assert (found["state"], len(found["attempts"])) == ("COMPLETE", 2), found["message"]
    lost = found["attempts"][0]
    assert (lost["reason"], lost["checkpoints"] != []) == ("MACHINE_LOST", True)
    started = [int(line.split()[-1]) for line in log(found["id"]) if line.startswith("first step")]
    assert started[0] == 1
    assert started[1] > 1
    assert log(found["id"])[-1] == f"counted to {started[1] + 29}"
    assert f"{found['id']}-a1" not in processes.running()
    run = prefect.get(f"/flow_runs/{lost['run_page'].rpartition('/')[2]}").json()
    assert run["state_type"] == "CRASHED"


def test_mlflow_shows_who_was_stopped_as_killed(batch: Batch, mlflow_run: Callable[[str], Training]):
    """Whatever the script's exit code was."""
    assert mlflow_run(batch.ended("stopped")["mlflow_run_id"])["info"]["status"] == "KILLED"
