"""Scripts that end badly: what happened, and its last words, are wherever a person looks."""

import subprocess
from collections.abc import Callable

import httpx
import pytest

from blocks.pools import processes
from tests.platform.batch import Batch, Training

LAST_WORDS = "the learning rate must not be negative"


def end_of(found: Training) -> tuple[str, str]:
    return found["state"], found["reason"]


@pytest.fixture(scope="module")
def run_of(prefect: httpx.Client) -> Callable[[Training], tuple[dict, list[str]]]:
    """Return a training's last run as Prefect has it, and the lines of the run's log."""

    def run(found: Training) -> tuple[dict, list[str]]:
        run_id = found["pages"]["run"].rpartition("/")[2]
        body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        lines = [line["message"] for line in prefect.post("/logs/filter", json=body).json()]
        return prefect.get(f"/flow_runs/{run_id}").json(), lines

    return run


def test_an_exit_code_is_the_users_error(batch: Batch):
    """The record has the code and the last lines, and its message names both; the script is not run again."""
    found = batch.ended("fails")
    assert end_of(found) == ("FAIL_TRAIN", "USER_ERROR")
    assert found["message"].startswith(f"The script ended with exit code 3. Its last line: {LAST_WORDS}. ")
    assert found["evidence"]["exit_code"] == 3
    assert found["evidence"]["last_lines"][-2:] == ["line 39", LAST_WORDS]
    # A busy machine may lose a run before its script starts; that is tried again, the script's own failure never.
    assert [attempt["reason"] for attempt in found["attempts"] if attempt["running_at"]] == ["USER_ERROR"]


def test_the_terminal_shows_why_it_failed(batch: Batch, emf: Callable[..., subprocess.CompletedProcess[str]]):
    """`emf training show` has the exit code and the script's last lines."""
    shown = emf("training", "show", batch.ended("fails")["id"], COLUMNS="160").stdout
    assert "exit code 3" in shown
    assert "line 39" in shown
    assert LAST_WORDS in shown


def test_the_runs_page_shows_why_it_failed(batch: Batch, run_of: Callable[[Training], tuple[dict, list[str]]]):
    """Its state's message is the training's, its log the script's: no traceback of ours."""
    found = batch.ended("fails")
    run, lines = run_of(found)
    assert (run["state_type"], run["state"]["message"]) == ("FAILED", found["message"])
    assert LAST_WORDS in lines
    assert not any("Traceback" in line for line in lines)


def test_mlflow_shows_it_as_failed(batch: Batch, mlflow_run: Callable[[str], dict]):
    """Also where the script never used MLflow."""
    assert mlflow_run(batch.ended("fails")["mlflow_run_id"])["info"]["status"] == "FAILED"


def test_a_signal_is_named(batch: Batch):
    """A script that died from one is told which."""
    found = batch.ended("segfaults")
    assert end_of(found) == ("FAIL_TRAIN", "USER_ERROR")
    assert "signal 11 (SIGSEGV)" in found["message"]
    assert "about to touch memory that is not ours" in found["message"]
    assert found["evidence"]["signal"] == 11


def test_too_much_memory_ends_the_script_and_names_the_figures(batch: Batch):
    """The sum over its processes counts: it was ended above 1 GiB, and nothing of it is left."""
    found = batch.ended("memory")
    assert end_of(found) == ("FAIL_TRAIN", "OUT_OF_MEMORY")
    evidence = found["evidence"]
    assert evidence["memory_limit_bytes"] == 2**30
    assert 2**30 < evidence["peak_memory_bytes"] < 1.3 * 2**30
    used = f"used {evidence['peak_memory_bytes'] / 2**30:.2f} GiB of memory; the instance type has 1.00 GiB"
    assert used in found["message"]
    assert f"{found['id']}-a1" not in processes.running()


def test_requirements_that_do_not_install_are_told_in_pips_words(batch: Batch, log: Callable[[str], list[str]]):
    """The user's error; the script never started."""
    found = batch.ended("no-requirements")
    assert end_of(found) == ("FAIL_TRAIN", "USER_ERROR")
    assert found["message"].startswith("The packages of requirements.txt did not install: ")
    assert "there-is-no-such-package" in found["message"]
    assert any("there-is-no-such-package" in line for line in found["evidence"]["last_lines"])
    assert log(found["id"]) == []
    assert found["attempts"][0]["running_at"] == ""


def test_requirements_that_install_come_on_top_of_the_image(batch: Batch, log: Callable[[str], list[str]]):
    """A package from the user's folder is imported from the attempt's own place, all others from the image."""
    found = batch.ended("requirements")
    assert found["state"] == "COMPLETE", found["message"]
    said = dict(line.split(" ", 1) for line in log(found["id"]))
    assert said["greeting"].startswith("안녕 ")
    assert "/work/" in said["greeting"]
    assert "/environments/pytorch-" in said["numpy"]
    assert "/environments/pytorch-" in said["torch"]
