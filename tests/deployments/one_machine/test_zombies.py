"""Runs that died without a word, on a real Prefect server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from blocks.settings import Settings
from deployments.one_machine import deploy, environment, zombies
from deployments.one_machine.zombies import NAME, automation, ensure, holds
from tests.prefect_server import served

DEAD_SECONDS = 10  # the least that Prefect takes
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    """The settings of a platform of which only Prefect's server runs."""
    with served() as settings:
        yield settings


@pytest.fixture
def client(server: Settings) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.prefect_api_url, timeout=30, trust_env=False) as found:
        yield found


def automations(client: httpx.Client) -> list[dict[str, Any]]:
    return client.post("/automations/filter", json={}).raise_for_status().json()


def run(client: httpx.Client, state: str = "RUNNING") -> str:
    """Make a run; returns its id."""
    flow = client.post("/flows/", json={"name": "train"}).raise_for_status().json()["id"]
    body = {"flow_id": flow, "state": {"type": state}}
    return client.post("/flow_runs/", json=body).raise_for_status().json()["id"]


def beat(client: httpx.Client, *runs: str) -> None:
    """Send a heartbeat as Prefect's engine does."""
    events = [
        {
            "id": str(uuid4()),
            "event": zombies.HEARTBEAT,
            "occurred": datetime.now(UTC).isoformat(),
            "resource": {"prefect.resource.id": f"prefect.flow-run.{one}"},
            "related": [],
            "payload": {},
        }
        for one in runs
    ]
    client.post("/events", json=events).raise_for_status()


def state(client: httpx.Client, flow_run_id: str) -> tuple[str, str]:
    found = client.get(f"/flow_runs/{flow_run_id}").raise_for_status().json()["state"]
    return found["type"], found["message"] or ""


def test_it_is_installed_once_and_kept_as_it_is(client: httpx.Client):
    """Again nothing is done; what somebody changed is put back, but for its being switched off."""
    assert ensure(client)
    assert not ensure(client)
    (found,) = automations(client)
    assert found["enabled"]
    assert found["trigger"]["within"] == zombies.SECONDS
    changed = automation(zombies.SECONDS * 9) | {"enabled": False}
    client.put(f"/automations/{found['id']}", json=changed).raise_for_status()
    assert ensure(client)
    assert not ensure(client)
    (again,) = automations(client)
    assert (again["id"], again["enabled"]) == (found["id"], False)
    assert again["trigger"]["within"] == zombies.SECONDS
    client.delete(f"/automations/{found['id']}").raise_for_status()


def test_up_installs_it(server: Settings, client: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    """With the flows, also where these are deployed already."""
    monkeypatch.setattr(deploy, "_known", lambda *_given: True)
    (server.home / "prefect" / "deployed").write_text(deploy.fingerprint(server))
    for _ in range(2):
        assert not deploy.deploy_flows(server)
    assert [one["name"] for one in automations(client)] == [NAME]


def test_a_run_whose_heartbeats_stop_has_crashed(client: httpx.Client):
    """One that goes on to send them lives, and so does one that ended, paused, or never sent any."""
    ensure(client, DEAD_SECONDS)
    dead, alive, done, silent = (run(client) for _ in range(4))
    beat(client, dead, alive, done)
    client.post(f"/flow_runs/{done}/set_state", json={"state": {"type": "COMPLETED"}}).raise_for_status()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while state(client, dead)[0] != "CRASHED":
        assert time.monotonic() < deadline
        beat(client, alive)
        time.sleep(1)
    assert state(client, dead)[1] == f"Its process is gone: no heartbeat came for {DEAD_SECONDS} s."
    assert [state(client, one)[0] for one in (alive, done, silent)] == ["RUNNING", "COMPLETED", "RUNNING"]


SCRIPT = """
import os, time
from prefect import flow
from prefect.settings import get_current_settings
@flow
def sleeps():
    print(os.getpid(), get_current_settings().flows.heartbeat_frequency, flush=True)
    time.sleep(120)
sleeps()
"""


def test_a_run_of_a_worker_that_is_killed_has_crashed(server: Settings, client: httpx.Client):
    """Its own heartbeats are what is missed; a worker's runs send one every half minute, twenty within the limit."""
    ensure(client, 35)
    environ = os.environ | environment.PREFECT_WORKER
    with subprocess.Popen([sys.executable, "-c", SCRIPT], env=environ, stdout=subprocess.PIPE, text=True) as process:
        pid, frequency = map(int, process.stdout.readline().split())
        assert frequency * 20 <= zombies.SECONDS
        wanted = {"flows": {"name": {"any_": ["sleeps"]}}}
        (one,) = client.post("/flow_runs/filter", json=wanted).raise_for_status().json()
        time.sleep(frequency + 15)
        assert state(client, one["id"])[0] == "RUNNING"  # the second heartbeat came in time
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 35 + PATIENCE_SECONDS
    while state(client, one["id"])[0] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(1)
    assert state(client, one["id"])[0] == "CRASHED"


@pytest.mark.parametrize(
    ("found", "wanted", "is_same"),
    [
        ({"a": 1, "id": 7}, {"a": 1}, True),
        ({"a": 600.0}, {"a": 600}, True),
        ({"a": ["y", "x"]}, {"a": ["x", "y"]}, True),
        ({"a": ["x", "y", "z"]}, {"a": ["x", "y"]}, False),
        ({"a": [{"b": 1, "id": 7}]}, {"a": [{"b": 1}]}, True),
        ({"a": [{"b": 2}]}, {"a": [{"b": 1}]}, False),
        ({}, {"a": None}, False),
        (None, {"a": 1}, False),
    ],
)
def test_what_stands_there_already(found: object, wanted: object, is_same: bool):
    """The server adds ids and defaults of its own, and gives lists in any order."""
    assert holds(found, wanted) == is_same
