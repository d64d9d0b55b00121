"""Runs on a real MLflow server."""

import math
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from blocks.tracking import Tracking
from blocks.tracking.entities import Metric
from blocks.tracking.errors import NotFound


@pytest.fixture
def experiment(tracking: Tracking, key: str, name: str) -> str:
    return tracking.ensure_experiment(key, name, {})


@pytest.fixture
def training() -> str:
    return f"training-{uuid.uuid4().hex[:12]}"


def seen(tracking: Tracking, run_id: str) -> dict[str, Any]:
    return tracking._rest.get("runs/get", run_id=run_id)["run"]


def test_the_same_again(tracking: Tracking, experiment: str, training: str) -> None:
    """A second call with a training's id returns its run; 250 parameters with 1,000 characters arrive."""
    parameters = {f"p{n}": "x" * 1000 for n in range(249)} | {"learning rate?": 0.1}
    words = (experiment, training, "학습 1", parameters, {"team": "vision"}, "설명")
    run_id = tracking.ensure_run(*words)
    assert tracking.ensure_run(*words) == run_id
    run = seen(tracking, run_id)
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert len(run["data"]["params"]) == 250
    assert {parameter["value"] for parameter in run["data"]["params"]} == {"x" * 1000, "0.1"}
    assert (run["info"]["status"], run["info"]["run_name"]) == ("RUNNING", "학습 1")
    assert abs(run["info"]["start_time"] / 1000 - time.time()) < 60
    assert (tags["easymaker.training_id"], tags["team"]) == (training, "vision")
    assert tags["mlflow.note.content"] == "설명"


def test_completed_after_a_death(tracking: Tracking, experiment: str, training: str) -> None:
    """A run that was made without all of its parameters gets them at the next call."""
    run_id = tracking.ensure_run(experiment, training, "n", {}, {})
    assert tracking.ensure_run(experiment, training, "n", {"a": 1}, {}) == run_id
    assert seen(tracking, run_id)["data"]["params"] == [{"key": "a", "value": "1"}]


def test_ends(tracking: Tracking, experiment: str, training: str) -> None:
    """An end sets status and time and, said twice, keeps the time; another end takes its place."""
    run_id = tracking.ensure_run(experiment, training, "n", {}, {})
    moment = datetime(2026, 11, 3, 12, 0, 0, 500_000, UTC)
    tracking.end_run(run_id, "FAILED", moment)
    tracking.end_run(run_id, "FAILED")
    info = seen(tracking, run_id)["info"]
    assert (info["status"], info["end_time"]) == ("FAILED", moment.timestamp() * 1000)
    tracking.end_run(run_id, "FINISHED")
    info = seen(tracking, run_id)["info"]
    assert info["status"] == "FINISHED"
    assert abs(info["end_time"] / 1000 - time.time()) < 60


def test_delete(tracking: Tracking, experiment: str, training: str) -> None:
    """Deleting can be repeated, what is deleted is NotFound, and ensuring it again restores it."""
    run_id = tracking.ensure_run(experiment, training, "n", {}, {})
    tracking.delete_run(run_id)
    tracking.delete_run(run_id)
    tracking.delete_run("0" * 32)
    for verb in (lambda: tracking.end_run(run_id, "FAILED"), lambda: tracking.metrics(run_id)):
        with pytest.raises(NotFound, match=run_id):
            verb()
    assert tracking.ensure_run(experiment, training, "n", {}, {}) == run_id
    assert tracking.metrics(run_id) == {}


def test_metrics(tracking: Tracking, experiment: str, training: str) -> None:
    """The last value of each metric is returned, NaN and infinity too."""
    run_id = tracking.ensure_run(experiment, training, "n", {}, {})
    for step, value in enumerate([0.9, 0.5]):
        body = {"run_id": run_id, "key": "loss", "value": value, "timestamp": 1000 + step, "step": step}
        tracking._rest.post("runs/log-metric", body)
    for key, value in {"nan": "NaN", "inf": "Infinity"}.items():
        tracking._rest.post("runs/log-metric", {"run_id": run_id, "key": key, "value": value, "timestamp": 1})
    found = tracking.metrics(run_id)
    assert found["loss"] == 0.5
    assert math.isnan(found["nan"])
    # MLflow's database keeps infinity as the largest double.
    assert found["inf"] > 1e300


def test_values_are_added(tracking: Tracking, experiment: str, training: str) -> None:
    """1,001 values of a metric are all there, also when they are said twice, as after an answer that was lost."""
    run_id = tracking.ensure_run(experiment, training, "n", {}, {})
    values = [Metric("system/training_memory_megabytes", float(n), 1_700_000_000_000 + n, n) for n in range(1001)]
    for _ in range(2):
        tracking.log_metrics(run_id, values)
    found = tracking._rest.get("metrics/get-history", run_id=run_id, metric_key=values[0].key)["metrics"]
    assert [(metric["value"], metric["step"]) for metric in found] == [(float(n), n) for n in range(1001)]


def test_tags(tracking: Tracking, experiment: str, training: str) -> None:
    """150 tags are set, of which one replaces another."""
    run_id = tracking.ensure_run(experiment, training, "n", {}, {"t0": "old", "kept": "yes"})
    tracking.set_tags(run_id, {f"t{n}": "new" for n in range(150)})
    tags = {tag["key"]: tag["value"] for tag in seen(tracking, run_id)["data"]["tags"]}
    assert (tags["t0"], tags["t149"], tags["kept"]) == ("new", "new", "yes")
    tracking.change_run(run_id, "설명", {"t1": "newer"}, gone=["t0", "never there"])
    tags = {tag["key"]: tag["value"] for tag in seen(tracking, run_id)["data"]["tags"]}
    assert "t0" not in tags
    assert (tags["t1"], tags["kept"], tags["mlflow.note.content"]) == ("newer", "yes", "설명")


def test_pages(tracking: Tracking, server: str) -> None:
    """The pages are those of MLflow's UI."""
    assert tracking.experiment_page("7") == f"{server}/#/experiments/7"
    assert tracking.run_page("7", "ab") == f"{server}/#/experiments/7/runs/ab"
