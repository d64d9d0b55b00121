"""The demo, as `make demo` runs it once the platform is up."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from blocks.platform import Platform
from blocks.settings import Settings

DEMO = Path(__file__).parents[2] / "docs" / "examples" / "digits" / "demo.py"
SECONDS = 400  # beside the trainings of all other tests


@pytest.fixture(scope="module")
def said(platform: Settings) -> str:
    """What it prints."""
    environ = os.environ | {"COLUMNS": "240"}
    words = [sys.executable, DEMO]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_trains_and_says_what_was_made_and_where(
    said: str, api: ModuleType, files: Callable[[str], list[str]], connections: Platform
):
    """Model, checkpoints and curves of a training that is COMPLETE, each where the table says that it is."""
    [training] = api.list_trainings(experiment="digits")
    found = api.show_training(training["id"])
    assert (found["state"], found["request"]["entry_point"]) == ("COMPLETE", "train.py")
    for place in (found["model"], found["checkpoints"][-1], f"{found['output']}/tensorboard"):
        assert place in said
        assert files(place)
    assert float(connections.tracking.metrics(found["mlflow_run_id"])["accuracy"]) > 0.9


def test_the_pages_that_it_names_open(said: str):
    """The console, the run, MLflow and TensorBoard answer."""
    pages = [word for word in said.split() if word.startswith("http://")]
    assert len(pages) >= 4
    for page in pages:
        assert httpx.get(page.partition("#")[0], trust_env=False, timeout=30).status_code == 200, page
