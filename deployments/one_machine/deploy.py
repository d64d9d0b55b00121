"""What Prefect must know before anybody can run anything: work pools, every flow's deployment, what a dead run is."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import tenacity
import yaml

from blocks.errors import Temporary
from blocks.platform import Platform
from blocks.settings import Settings
from deployments.one_machine import zombies
from deployments.one_machine.environment import CHECKOUT, process_environment
from deployments.one_machine.errors import DeployFailed, PrefectBusy
from deployments.one_machine.parts import POOLS
from flows import catalogue_forms
from flows.deployed import deployments

TEMPLATES = CHECKOUT / "deployments" / "work_pools"
SECONDS = 300
BUSY = (
    *("502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "database is locked"),
    *("ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "RemoteProtocolError"),
)

patient = tenacity.retry(
    retry=tenacity.retry_if_exception_type(Temporary),
    stop=tenacity.stop_after_delay(60),
    wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
    reraise=True,
)


@patient
def ensure_pools(settings: Settings) -> None:
    """See that the work pools exist with the base job templates of `deployments/work_pools`, which are the law.

    Raises:
        DeployFailed: Prefect did not take one.
    """
    with _prefect(settings) as client:
        for pool in POOLS:
            template = json.loads((TEMPLATES / f"{pool}.json").read_text(encoding="utf-8"))
            answer = client.get(f"/work_pools/{pool}")
            if answer.status_code == 404:
                body = {"name": pool, "type": "process", "base_job_template": template}
                answer = client.post("/work_pools/", json=body)
            elif answer.is_success and answer.json()["base_job_template"] != template:
                answer = client.patch(f"/work_pools/{pool}", json={"base_job_template": template})
            answer.raise_for_status()


@patient
def ensure_automation(settings: Settings) -> None:
    """See that Prefect takes runs whose heartbeats stop for crashed.

    Raises:
        DeployFailed: Prefect did not take the automation.
    """
    with _prefect(settings) as client:
        zombies.ensure(client)


def deploy_flows(settings: Settings) -> bool:
    """Deploy every flow of `prefect.yaml`, and fill the forms from the catalogue, if anything that shapes them changed.

    What watches over their runs is seen to first.

    Returns whether it was done.

    Raises:
        DeployFailed: with the last of Prefect's own words.
        FormsAway: Prefect does not answer.
    """
    ensure_automation(settings)
    file = CHECKOUT / "prefect.yaml"
    if not file.exists():
        return False
    stamp, now = settings.home / "prefect" / "deployed", fingerprint(settings)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == now and _known(settings, file):
        return False
    _deploy_all(settings)
    catalogue_forms.apply(Platform(settings))
    stamp.write_text(now, encoding="utf-8")
    return True


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(Temporary),
    stop=tenacity.stop_after_attempt(3),
    wait=tenacity.wait_random_exponential(multiplier=1, max=10),
    reraise=True,
)
def _deploy_all(settings: Settings) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=CHECKOUT,
            env=process_environment(settings, "deploy", os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeployFailed(f"`prefect deploy --all` took more than {SECONDS} s; try `emf up` again.") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        kind = PrefectBusy if is_busy(said) else DeployFailed
        raise kind(f"`prefect deploy --all` failed:\n{said[-2000:]}")


def is_busy(said: str) -> bool:
    """Say whether Prefect's command failed because its server was away, or its database locked, for a moment."""
    words = " ".join(said.split())  # the command folds its lines at any space
    return any(sign in words for sign in BUSY)


def fingerprint(settings: Settings) -> str:
    """Return the SHA-256 of everything that a deployment is made of: names and contents."""
    sources = [CHECKOUT / "prefect.yaml", *settings.home.glob("catalogue/*.yaml")]
    sources += [file for layer in ("flows", "blocks") for file in (CHECKOUT / layer).rglob("*.py")]
    sources += (CHECKOUT / "blocks" / "catalogue").glob("*.yaml")
    digest = hashlib.sha256()
    for source in sorted(sources):
        content = source.read_bytes()
        digest.update(f"{source}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@patient
def _known(settings: Settings, file: Path) -> bool:
    """Say whether the server has every deployment of `prefect.yaml`: its database may be a new one."""
    told: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8")).get("deployments") or []
    with _prefect(settings) as client:
        found = deployments(client, {deployment["name"] for deployment in told}.__contains__)
    names = {(deployment["name"], deployment["entrypoint"]) for deployment in found}
    return all((deployment["name"], deployment["entrypoint"]) in names for deployment in told)


@contextmanager
def _prefect(settings: Settings) -> Iterator[httpx.Client]:
    """Open a line to Prefect's API; its errors become ours."""
    try:
        # Loopback only: no proxy, and reading the certificates would take longer than asking.
        with httpx.Client(base_url=settings.prefect_api_url, timeout=30, trust_env=False, verify=False) as client:  # noqa: S501
            yield client
    except httpx.HTTPStatusError as error:
        status, said = error.response.status_code, error.response.text[:500]
        kind = PrefectBusy if status == 503 else DeployFailed  # what SQLite's lock looks like from outside
        raise kind(f"Prefect refused {error.request.url.path}: {status} {said}") from error
    except httpx.HTTPError as error:
        raise PrefectBusy(f"Prefect does not answer at {settings.prefect_api_url} ({error!r}).") from error
