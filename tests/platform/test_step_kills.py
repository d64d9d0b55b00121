"""`train` is killed before or after its n-th outside call, wherever that is: it ends as if nothing had been."""

import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from blocks.platform import Platform
from blocks.storage.location import parse
from flows.training import reading
from tests.platform.conftest import IMAGE, SCRIPTS
from tests.platform.killing import left_over, number, wait_for
from tests.platform.terminal import emf

TRACER = Path(__file__).parent / "tracer"
SAMPLE = sys.maxsize if os.environ.get("STEP_KILLS") == "all" else number("STEP_KILLS", 6)
"""How many of the calls are tried; `make torture` tries all."""
MOST = 500  # calls of a run, roughly; each is tried before it and after it
AT_ONCE = 3
SECONDS = 400
MODEL = {f"layer-{number}": f"weights {number}".encode() for number in range(3)}
Training = dict[str, Any]


@pytest.fixture(scope="module")
def traces(own: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of plans and traces, and an instance type `traced` whose runs look into it."""
    folder = tmp_path_factory.mktemp("traces")
    kind = {"name": "traced", "vcpus": 1, "memory_gb": 1, "pool": "process"}
    kind["job_variables"] = {"env": {"PYTHONPATH": str(TRACER), "EMF_TRACE": str(folder)}}
    file = own.settings.home / "catalogue" / "instance_types.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump([kind]))
    emf("catalogue", "apply")
    for container in ("code", "out"):
        own.storage.ensure_container(parse(own.settings.obs(container)))
    own.storage.upload(SCRIPTS / "saves.py", parse(own.settings.obs("code", "steps/saves.py")))
    return folder


@pytest.fixture(scope="module")
def start(own: Platform, traces: Path) -> Callable[[str, str], str]:
    """Create a training and write the plan for it; returns its id."""

    def create(name: str, plan: str) -> str:
        words = ["--algorithm-path", "code/steps", "--entry-point", "saves.py", "--image", IMAGE]
        words += ["--output-path", "out/steps", "--checkpoint-path", "out/kept", "--instance-type", "traced"]
        made = json.loads(emf("training", "create", "--name", name, "--experiment", "e", "--json", *words))
        if plan:
            (traces / f"{made['id']}.plan").write_text(plan)
        return made["id"]

    return create


@pytest.fixture(scope="module")
def calls(own: Platform, traces: Path, start: Callable[[str, str], str]) -> list[str]:
    """The outside calls of a run that nobody disturbs, in order."""
    training_id = start("undisturbed", "")
    wait_for("its end", lambda: reading.read(own, training_id)["ended_at"], SECONDS)
    check(own, training_id)
    return (traces / f"{training_id}-a1.calls").read_text().splitlines()


def check(own: Platform, training_id: str) -> Training:
    """See that a training is COMPLETE, with the one model that it should have, told everywhere."""
    found = reading.read(own, training_id)
    assert found["state"] == "COMPLETE", (found["message"], found["attempts"])
    there = {
        entry.key: own.storage.read(parse(f"{found['model']}/{entry.key}", 2048))
        for entry in own.storage.entries(parse(f"{found['model']}/", 2048))
    }
    assert there == MODEL
    marker = json.loads(own.storage.read(parse(f"{found['output']}/model.json", 2048)))
    listed = {file["path"]: file["sha256"] for file in marker["files"]}
    assert listed == {name: sha256(data).hexdigest() for name, data in MODEL.items()}
    own.storage.read(parse(f"{found['checkpoints'][-1]}.committed", 2048))
    url = f"{own.settings.mlflow_url}/api/2.0/mlflow/runs/get"

    def status() -> bool:
        run = httpx.get(url, params={"run_id": found["mlflow_run_id"]}, trust_env=False).json()["run"]
        return run["info"]["status"] == "FINISHED"

    wait_for("MLflow to know", status, 60)
    return found


def plans(calls: Sequence[str], most: int, source: random.Random) -> list[str]:
    """Return before and after which calls it is killed: all, or some of them."""
    every = [f"{when} {number}" for number in range(1, len(calls) + 1) for when in ("before", "after")]
    return every if most >= len(every) else sorted(source.sample(every, most), key=lambda plan: int(plan.split()[1]))


@pytest.mark.timeout(900 + 60 * min(SAMPLE, 2 * MOST))
def test_killed_at_any_call_it_ends_in_the_same_place(
    own: Platform, calls: list[str], traces: Path, start: Callable[[str, str], str]
):
    """COMPLETE, one whole model, checkpoints that count, MLflow told; and nothing is held by anybody."""
    chosen = plans(calls, SAMPLE, random.Random())
    print(f"{len(calls)} calls; {len(chosen)} kills")
    for at in range(0, len(chosen), AT_ONCE):
        started = {plan: start(f"killed {plan}", plan) for plan in chosen[at : at + AT_ONCE]}
        for plan, training_id in started.items():
            wait_for(
                f"the end of the one killed {plan}", lambda i=training_id: reading.read(own, i)["ended_at"], SECONDS
            )
            found = check(own, training_id)
            ran = (traces / f"{training_id}-a1.calls").read_text().splitlines()
            print(f"{plan:11} {len(found['attempts'])} attempt(s): {ran[-1]}")
    emf("reconcile")
    wait_for("nothing to be left over", lambda: not left_over(own), 60)
