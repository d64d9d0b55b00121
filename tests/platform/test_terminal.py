"""`emf` that only reads answers at once: it loads no Prefect."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.platform.batch import Batch

Emf = Callable[..., subprocess.CompletedProcess[str]]
READING = [
    ("training", "list"),
    ("training", "show", "hello"),
    ("training", "logs", "hello"),
    ("experiment", "list"),
    ("experiment", "show", "platform"),
    ("images",),
    ("instance-types",),
]
MADE_OF = "import pydantic, rich.console, sqlalchemy.orm, typer, yaml"
MOST = 2.5  # times the processor time of loading what it is made of; Prefect alone is more than that


@pytest.fixture(scope="module")
def emf_on(batch: Batch, emf: Emf) -> Emf:
    """Run `emf`, where `hello` is the training of the batch, which has ended."""
    training = batch.ended("hello")["id"]
    return lambda *words, **environ: emf(*(training if word == "hello" else word for word in words), **environ)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_what_it_prints_with_json_is_json(words: tuple[str, ...], emf_on: Emf):
    """Nothing but JSON, on every command that prints data; a log is one object a line."""
    done = emf_on(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: list[Any] = (
        [json.loads(line) for line in done.stdout.splitlines()] if "logs" in words else [json.loads(done.stdout)]
    )
    assert found[0]


def used(run: Callable[[], subprocess.CompletedProcess[str]]) -> float:
    """Return the processor time of a process, in seconds; it must succeed."""

    def so_far() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = so_far()
    assert run().returncode == 0
    return so_far() - before


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_takes_a_second(words: tuple[str, ...], emf_on: Emf):
    """It costs little more than to load what it is made of, at that moment on that machine; no Prefect, no boto3."""
    argv = [sys.executable, "-c", MADE_OF]
    least = used(lambda: subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False))
    assert used(lambda: emf_on(*words)) < MOST * least
    loaded = emf_on(*words, PYTHONPROFILEIMPORTTIME="1").stderr
    assert "flows.cli" in loaded
    assert not any(f" {module}{os.linesep}" in loaded for module in ("prefect", "boto3", "mlflow"))
