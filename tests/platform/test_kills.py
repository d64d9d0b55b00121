"""A training whose processes, and whose platform, are killed again and again ends as if nothing had happened."""

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from blocks.platform import Platform
from blocks.pools.environments import Environments
from blocks.storage.location import parse
from flows.training import reading
from tests.platform.conftest import IMAGE, SCRIPTS
from tests.platform.killing import find, kill, left_over, mend, number, plan, wait_for
from tests.platform.terminal import emf

KILLS = number("KILLS", 20)
SEED = number("SEED", random.SystemRandom().randrange(10**6))
STEPS = 20_000
MOMENTS = 7.0  # seconds after a victim is there within which it is killed
WITHOUT_PROGRESS = 2  # attempts in a row that may die before they have kept anything: the platform gives up at four
Training = dict[str, Any]


@pytest.fixture(scope="module")
def uninterrupted(own: Platform, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights that the script ends with where nobody disturbs it."""
    root = tmp_path_factory.mktemp("uninterrupted")
    names = ("EM_CHECKPOINT_DIR", "EM_CHECKPOINT_INPUT_DIR", "EM_MODEL_DIR")
    environ = os.environ | {name: str(root / name) for name in names}
    for name in names:
        (root / name).mkdir()
    python = Environments(own.settings.home).ensure("pytorch", print)
    argv = [python, SCRIPTS / "descends.py", "--steps", str(STEPS), "--pause", "0", "--every", str(STEPS)]
    subprocess.run(argv, env=environ, check=True, timeout=300)
    return (root / "EM_MODEL_DIR" / "weights.npy").read_bytes()


@pytest.fixture
def hurry(tmp_path: Path) -> Path:
    """A file; once it is there the script does not rest between its steps any more."""
    return tmp_path / "hurry"


@pytest.fixture
def descending(own: Platform, hurry: Path) -> Callable[[], Training]:
    """A training that keeps a checkpoint every two seconds; what is known of it."""
    where = own.settings
    for container in ("code", "out"):
        own.storage.ensure_container(parse(where.obs(container)))
    own.storage.upload(SCRIPTS / "descends.py", parse(where.obs("code", "kills/descends.py")))
    words = ["--algorithm-path", "code/kills", "--output-path", "out/kills", "--checkpoint-path", "out/kept"]
    words += ["--entry-point", "descends.py", "--image", IMAGE, "--instance-type", "cpu.small"]
    words += ["--hp", f"steps={STEPS}", "--hp", "pause=0.05", "--hp", "every=40", "--hp", f"hurry={hurry}"]
    emf("training", "create", "--name", "descending", "--experiment", "e", *words)
    return lambda: reading.read(own, "descending")


def without_progress(found: Training) -> int:
    """Return how many attempts at the end of the list have kept nothing; the current one counts."""
    count = 0
    for attempt in reversed(found["attempts"]):
        if attempt["checkpoints_committed"]:
            break
        count += 1
    return count


def strike(victim: str, own: Platform, look: Callable[[], Training], source: random.Random) -> None:
    """Kill at a random moment of an attempt, and see that all is there again."""
    training_id = look()["id"]
    wait_for(f"a {victim} to kill", lambda: find(victim, own, training_id))
    if without_progress(look()) > WITHOUT_PROGRESS:
        wait_for("a checkpoint", lambda: look()["attempts"][-1]["checkpoints_committed"])
    time.sleep(source.uniform(0, MOMENTS))
    wait_for(f"a {victim} to kill", lambda: kill(victim, own, training_id))
    mend(victim, own)


@pytest.mark.timeout(600 + 60 * KILLS)
def test_killed_again_and_again_it_ends_with_the_same_weights(
    own: Platform, descending: Callable[[], Training], hurry: Path, uninterrupted: bytes
):
    """SIGKILL of script, launcher, run, worker, Prefect for a minute, supervisord, everything: bit for bit the same."""
    source, began = random.Random(SEED), time.monotonic()
    print(f"seed {SEED}: the same kills with SEED={SEED} KILLS={KILLS}")
    for count, victim in enumerate(plan(KILLS, source), 1):
        strike(victim, own, descending, source)
        found = descending()
        seconds, attempt = time.monotonic() - began, len(found["attempts"])
        print(f"{seconds:6.0f} s  {count:3} {victim:15} attempt {attempt} {found['state']}")
        assert not found["ended_at"], (found["state"], found["message"])
    hurry.touch()
    wait_for("its end", lambda: descending()["ended_at"], 600)
    found = descending()
    lost = sum(attempt["seconds_lost"] or 0 for attempt in found["attempts"])
    print(f"{len(found['attempts'])} attempts, {found['seconds_trained']:.0f} s trained, {lost:.0f} s of them lost")
    assert found["state"] == "COMPLETE", found["message"]
    assert own.storage.read(parse(f"{found['model']}/weights.npy", 2048)) == uninterrupted
    emf("reconcile")
    wait_for("nothing to be left over", lambda: not left_over(own), 60)
    assert len(found["checkpoints"]) == 3
    root = parse(found["checkpoints"][-1].rpartition("/attempt-")[0], 2048)
    assert sum(entry.key.endswith(".committed") for entry in own.storage.entries(root)) == 3
    run = httpx.get(
        f"{own.settings.mlflow_url}/api/2.0/mlflow/runs/get", params={"run_id": found["mlflow_run_id"]}, trust_env=False
    ).json()["run"]
    assert run["info"]["status"] == "FINISHED"
