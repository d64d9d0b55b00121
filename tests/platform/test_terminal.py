"""`emf` that only reads answers at once: it loads no Prefect."""

import json
import os
import resource
import subprocess
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
CPU_SECONDS = 1.5


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


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_takes_a_second(words: tuple[str, ...], emf_on: Emf):
    """Measured in processor time, as other tests use the machine; and neither Prefect nor boto3 is loaded for it."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    assert emf_on(*words).returncode == 0
    assert used() - before < CPU_SECONDS
    loaded = emf_on(*words, PYTHONPROFILEIMPORTTIME="1").stderr
    assert "flows.cli" in loaded
    assert not any(f" {module}{os.linesep}" in loaded for module in ("prefect", "boto3", "mlflow"))
