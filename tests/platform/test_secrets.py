"""The platform's keys are nowhere where users' code runs or where others look."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from blocks.settings import Settings
from deployments.one_machine import credentials
from tests.platform.batch import Batch

PLAIN = "EMF_OBJECT_STORE_ACCESS_KEY"  # a name, known to all
PAGE = 200


@pytest.fixture(scope="module")
def secrets(platform: Settings) -> list[str]:
    """The values of `secrets.env`."""
    return [value for name, value in credentials.ensure(platform).items() if name != PLAIN]


@pytest.fixture(scope="module")
def shown(batch: Batch, log: Callable[[str], list[str]]) -> list[str]:
    """What a script printed of its environment and of those above it."""
    assert batch.ended("environment")["state"] == "COMPLETE"
    return log(batch["environment"])


def test_a_scripts_environment_holds_no_secret(shown: list[str], secrets: list[str]):
    """Neither its own nor that of a process that it descends from."""
    assert any(line.startswith("above: 'EMF_REPORT_FD=") for line in shown)  # its launcher's: it did look
    assert [line for line in shown for secret in secrets if secret in line] == []


def test_a_scripts_environment_is_the_contracts(shown: list[str]):
    """The platform's own variables do not reach it, but for the mark by which its processes are found."""
    names = {line.removeprefix("mine: '").partition("=")[0] for line in shown if line.startswith("mine: ")}
    ours = {name for name in names if name.startswith(("EMF_", "PREFECT", "AWS_"))}
    assert ours == {"EMF_ATTEMPT", "EMF_INSTANCE", "EMF_MLFLOW_RUN_ID"}
    assert {"EM_HPS", "EM_SOURCE_DIR", "EM_MODEL_DIR", "EM_CHECKPOINT_DIR", "EM_TRAINING_ID"} <= names


def test_prefect_knows_no_secret(batch: Batch, prefect: httpx.Client, secrets: list[str]):
    """Not in a run's parameters or job variables, a log, an artifact, a deployment, a pool, a block, a variable."""
    batch.ended("environment")
    kinds = ("flow_runs", "task_runs", "logs", "artifacts", "deployments", "work_pools", "block_documents", "variables")
    for kind in kinds:
        found = everything(prefect, kind)
        assert found or kind in ("block_documents", "variables"), kind
        text = json.dumps(found, ensure_ascii=False)
        assert not any(secret in text for secret in secrets), kind


def everything(prefect: httpx.Client, kind: str) -> list[Any]:
    found: list[Any] = []
    while page := prefect.post(f"/{kind}/filter", json={"limit": PAGE, "offset": len(found)}).raise_for_status().json():
        found += page
    return found


def test_no_log_and_no_command_line_shows_a_secret(batch: Batch, platform: Settings, secrets: list[str]):
    """Trainings' logs, those of the platform's parts, and what `ps` shows of every process."""
    batch.ended("environment")
    logs = [*platform.home.glob("logs/**/*"), *platform.home.glob("supervisor/**/*.log")]
    files = [file for file in logs if file.is_file()]
    assert {"controller.log", "instance-0.ndjson"} <= {file.name for file in files}
    assert [file for file in files if any(secret.encode() in file.read_bytes() for secret in secrets)] == []
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not any(secret in command for command in commands for secret in secrets)


def test_only_its_owner_reads_where_the_secrets_are(platform: Settings, secrets: list[str]):
    """Every file of the platform's folder that holds one is closed to group and others."""
    kept = [platform.home / "secrets.env", *(platform.home / "supervisor").glob("*.conf"), platform.home / "records.db"]
    holding = [file for file in kept if any(secret.encode() in file.read_bytes() for secret in secrets)]
    assert {file.name for file in holding} >= {"secrets.env"}
    assert [file for file in holding if Path(file).stat().st_mode & 0o077] == []
