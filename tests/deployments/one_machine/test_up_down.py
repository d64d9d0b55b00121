"""`emf up`, `emf down` and what may happen between them, on a platform of this file's own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from blocks import settings as platform_settings
from blocks.hosts.loopback import can_bind
from blocks.hosts.service import Service, State
from blocks.hosts.supervisord import Supervisord
from blocks.settings import Settings
from deployments.one_machine import credentials, deploy, marks
from deployments.one_machine.errors import DeployFailed
from tests.conftest import platform_folder

pytestmark = pytest.mark.platform
SECONDS = 180


def emf(command: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one command as an operator does, in a shell that has a secret of its own."""
    argv = [sys.executable, "-m", "deployments.one_machine", command, *options]
    environ = os.environ | {"AWS_SECRET_ACCESS_KEY": "of-the-shell"}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)


def statuses() -> dict[str, dict[str, object]]:
    return {part["part"]: part for part in json.loads(emf("status", "--json").stdout)["parts"]}


def processes(settings: Settings) -> dict[str, psutil.Process]:
    """Return the platform's processes by part."""
    return {process.environ()["EMF_PART"]: process for process in marks.find(settings.home)}


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A platform that two `emf up` brought up at the same time."""
    with platform_folder():
        argv = [sys.executable, "-m", "deployments.one_machine", "up"]
        both = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
        answers = [process.communicate(timeout=SECONDS)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], answers
        assert sum("object_store" in answer for answer in answers) == 1, answers
        yield platform_settings.load()


def test_two_ups_at_once_make_one_platform(settings: Settings) -> None:
    """Every part runs once, and each answers as well."""
    assert emf("status").returncode == 0
    boards = json.loads(emf("status", "--json").stdout)["boards"]
    assert list(boards) == ["trainings", "experiments", "reconcile"]
    assert all(page.startswith("http://127.0.0.1:") for page in boards.values())
    found = [process.environ()["EMF_PART"] for process in marks.find(settings.home)]
    assert sorted(found) == sorted({*statuses(), "supervisor"})


def test_a_second_up_finds_nothing_to_do(settings: Settings) -> None:
    """It says so, within two seconds on an idle machine, and leaves every process alone."""
    before = processes(settings)
    began = time.monotonic()
    answer = emf("up")
    took = time.monotonic() - began
    assert answer.stdout.startswith("Everything is running"), answer
    assert processes(settings) == before
    assert took < 6, took  # other tests may use the machine


def test_no_secret_is_where_users_code_runs_or_where_others_look(settings: Settings) -> None:
    """Only those who cannot do without have keys, nobody has the shell's, and no command line shows one."""
    keys = {value for name, value in credentials.ensure(settings).items() if name != "EMF_OBJECT_STORE_ACCESS_KEY"}
    running = processes(settings)
    told = {part for part, process in running.items() if keys & set(process.environ().values())}
    assert told == {"object_store", "controller"}
    assert not any(key in " ".join(process.cmdline()) for process in running.values() for key in keys)
    assert not any("AWS_SECRET_ACCESS_KEY" in process.environ() for process in running.values())


def test_nobody_listens_beyond_the_loopback(settings: Settings) -> None:
    """Every socket of every part is on 127.0.0.1."""
    listening = {
        connection.laddr.ip
        for process in marks.find(settings.home)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_the_object_store_checks_signatures(settings: Settings) -> None:
    """The key of secrets.env opens it; another one is refused."""
    secrets = credentials.ensure(settings)

    def client(secret: str):
        return boto3.client(
            "s3",
            endpoint_url=f"http://{settings.object_store_endpoint}",
            region_name=settings.region,
            aws_access_key_id=secrets["EMF_OBJECT_STORE_ACCESS_KEY"],
            aws_secret_access_key=secret,
            config=Config(s3={"addressing_style": "path"}),
        )

    good = client(secrets["EMF_OBJECT_STORE_SECRET_KEY"])
    good.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "KR1"})
    good.put_object(Bucket="kept", Key="학습/모델.pt", Body=b"weights")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client("wrong").get_object(Bucket="kept", Key="학습/모델.pt")


def test_mlflow_keeps_runs_and_artifacts(settings: Settings) -> None:
    """Its API and its artifact store both answer: it is started without MLflow's own command."""
    api, files = f"{settings.mlflow_url}/api/2.0/mlflow", f"{settings.mlflow_url}/api/2.0/mlflow-artifacts/artifacts"
    made = httpx.post(f"{api}/experiments/create", json={"name": "demo"}).raise_for_status().json()
    run = httpx.post(f"{api}/runs/create", json={"experiment_id": made["experiment_id"]}).raise_for_status().json()
    uri = run["run"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:")
    httpx.put(f"{files}{uri}/note.txt", content=b"kept").raise_for_status()
    assert httpx.get(f"{files}{uri}/note.txt").content == b"kept"
    assert httpx.get(settings.mlflow_url).text.lstrip().lower().startswith("<!doctype html")


FLOW = """
from prefect import flow

@flow
def greet(name: str = "you") -> str:
    return name
"""
YAML = """
pull:
  - prefect.deployments.steps.set_working_directory: {directory: "{{ $EMF_CHECKOUT }}"}
deployments:
  - {name: easymaker, entrypoint: flows/greet.py:greet, work_pool: {name: control}}
"""


def test_flows_are_deployed_when_they_changed_and_only_then(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time, after a change of a flow, and when the server lost them; never for nothing."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "greet.py").write_text(FLOW)
    (tmp_path / "prefect.yaml").write_text(YAML)
    monkeypatch.setattr(deploy, "CHECKOUT", tmp_path)
    assert deploy.deploy_flows(settings)
    assert not deploy.deploy_flows(settings)
    found = httpx.get(f"{settings.prefect_api_url}/deployments/name/greet/easymaker").raise_for_status().json()
    httpx.delete(f"{settings.prefect_api_url}/deployments/{found['id']}").raise_for_status()
    assert deploy.deploy_flows(settings)
    (tmp_path / "flows" / "greet.py").write_text("broken(")
    with pytest.raises(DeployFailed, match="prefect deploy"):
        deploy.deploy_flows(settings)


def test_what_died_all_at_once_is_started_anew(settings: Settings) -> None:
    """After SIGKILL of supervisord and half of the parts `emf up` ends the rest, and services and objects are back."""
    host = Supervisord(settings.home)
    service = Service(name="board-1", command=[sys.executable, "-m", "http.server", "0"], environment={})
    host.apply(service)
    deadline = time.monotonic() + 30
    while "board-1" not in (before := processes(settings)) and time.monotonic() < deadline:
        time.sleep(0.1)  # until its exec it looks like supervisord
    for part in ("supervisor", "prefect", "object_store", "worker-process"):
        before[part].kill()
    psutil.wait_procs([before["supervisor"]], timeout=10)
    answer = emf("up")
    assert answer.returncode == 0, answer
    assert "Ending what was left running" in answer.stdout
    assert "worker-control (pid" in answer.stdout
    after = processes(settings)
    assert after.keys() == before.keys() | {"board-1"}
    assert not {process.pid for process in before.values()} & {process.pid for process in after.values()}
    assert host.observe("board-1").state in (State.STARTING, State.RUNNING)
    assert statuses()["board-1"]["healthy"]
    objects = settings.home / "object_store" / "devices" / "d1" / "objects"
    assert any(file.stat().st_size == len(b"weights") for file in objects.rglob("*.data"))


def test_a_part_that_dies_comes_back_by_itself(settings: Settings) -> None:
    """supervisord starts it again; `emf up` waits for it."""
    processes(settings)["controller"].kill()
    assert emf("up").returncode == 0
    assert statuses()["controller"]["healthy"]


def test_other_settings_are_told_not_mixed_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed port does not lead to half a platform: the operator is told what to do."""
    monkeypatch.setenv("EMF_PORT_MLFLOW", str(settings.ports.mlflow + 3))
    answer = emf("up")
    assert answer.returncode == 1
    assert "`emf down`, then `emf up`" in answer.stderr


def test_down_leaves_nothing(settings: Settings) -> None:
    """No process, no listener; what ran is named; a second time there is nothing to do."""
    answer = emf("down")
    assert answer.returncode == 0, answer
    assert "worker-process" in answer.stdout
    assert marks.find(settings.home) == []
    assert all(can_bind(port) for port in settings.ports.model_dump().values())
    assert emf("down").stdout.strip() == "Nothing runs."
