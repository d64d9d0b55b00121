"""The runs of ours that a real MLflow takes for running."""

import time
import uuid

import pytest

from blocks.tracking import Tracking
from blocks.tracking import open_runs as listing


def mine(tracking: Tracking, *training_ids: str) -> dict[str, str]:
    return {run.training_id: run.run_id for run in tracking.open_runs() if run.training_id in training_ids}


def test_open_runs_of_all_experiments(tracking: Tracking, monkeypatch: pytest.MonkeyPatch):
    """Page by page, of every experiment of ours; ended and deleted ones are not there, nor what others made."""
    monkeypatch.setattr(listing, "PAGE", 2)
    monkeypatch.setattr(listing, "EXPERIMENTS", 1)
    ids = [f"tr-{uuid.uuid4().hex[:12]}" for _ in range(7)]
    experiments = [tracking.ensure_experiment(f"ex-{one}", f"e {one}", {}) for one in ids[:2]]
    runs = {one: tracking.ensure_run(experiments[at % 2], one, "n", {}, {}) for at, one in enumerate(ids)}
    theirs = tracking._rest.post("runs/create", {"experiment_id": experiments[0], "start_time": 1})["run"]["info"]
    tracking.end_run(runs[ids[0]], "FINISHED")
    tracking.delete_run(runs[ids[1]])
    assert mine(tracking, *ids) == {one: runs[one] for one in ids[2:]}
    assert theirs["run_id"] not in {run.run_id for run in tracking.open_runs()}


def test_an_open_run_says_since_when(tracking: Tracking, name: str, key: str):
    """In UTC."""
    training_id = f"tr-{uuid.uuid4().hex[:12]}"
    tracking.ensure_run(tracking.ensure_experiment(key, name, {}), training_id, "n", {}, {})
    (started_at,) = (run.started_at for run in tracking.open_runs() if run.training_id == training_id)
    assert abs(started_at.timestamp() - time.time()) < 60
