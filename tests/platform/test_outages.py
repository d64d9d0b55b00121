"""Parts of the platform go away while trainings run: those go on or wait, and nothing is lost or done twice."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from blocks.platform import Platform
from blocks.storage.location import parse
from deployments.one_machine.supervisor import Supervisor
from flows.training import reading
from tests.platform.conftest import IMAGE, SCRIPTS
from tests.platform.deadlines import within
from tests.platform.faulty_store import FaultyStore, faulty
from tests.platform.killing import left_over
from tests.platform.terminal import emf

SECONDS = 400
FAULTY = "faulty.test"
Training = dict[str, Any]
Start = Callable[..., str]


@pytest.fixture(scope="module")
def line(own: Platform) -> Iterator[FaultyStore]:
    """A line to the platform's own store that may fail: obs://faulty.test/… goes over it."""
    settings = own.settings
    with faulty(f"http://{settings.object_store_endpoint}") as server:
        keys = own.storage.to_wire([parse(settings.obs("code"))])["endpoints"][settings.object_store_endpoint]
        lines = {"ENDPOINT": FAULTY, "URL": server.url, "ACCESS_KEY": keys["access_key"]}
        lines |= {"SECRET_KEY": keys["secret_key"], "REGION": keys["region"]}
        with (settings.home / "secrets.env").open("a") as file:
            file.writelines(f"EMF_OBJECT_STORE_FAULTY_{name}={value}\n" for name, value in lines.items())
        yield server


@pytest.fixture(scope="module")
def start(own: Platform) -> Start:
    """Create a training of a script over a line to the store; returns its id."""
    for container in ("code", "out"):
        own.storage.ensure_container(parse(own.settings.obs(container)))
    own.storage.upload(SCRIPTS / "saves.py", parse(own.settings.obs("code", "outages/saves.py")))

    def create(name: str, *, store: str = "", seconds: float = 20) -> str:
        root = f"obs://{store or own.settings.object_store_endpoint}"
        words = ["--algorithm-path", f"{root}/code/outages", "--output-path", f"{root}/out/{name}"]
        words += ["--checkpoint-path", f"{root}/out/kept-{name}", "--entry-point", "saves.py"]
        words += ["--image", IMAGE, "--instance-type", "cpu.small", "--hp", f"seconds={seconds}"]
        made = emf("training", "create", "--name", name, "--experiment", "e", "--json", *words)
        return json.loads(made)["id"]

    return create


@pytest.fixture(scope="module")
def until(own: Platform) -> Callable[..., Training]:
    """Wait until something is true of a training."""

    def wait(training_id: str, true: Callable[[Training], object], seconds: float = SECONDS) -> Training:
        def look() -> Training | None:
            found = reading.read(own, training_id)
            return found if true(found) else None

        return within(seconds, look, f"what is expected of {training_id}")

    return wait


@pytest.fixture(scope="module")
def away(own: Platform) -> Callable[[str], Any]:
    """Take a part away; what it returns brings it back."""

    def take(part: str) -> Callable[[], None]:
        supervisor = Supervisor(own.settings.home)
        supervisor.stop(part)
        within(60, lambda: supervisor.programs()[part].state == "STOPPED", f"the end of {part}")
        return lambda: supervisor.start(part)

    return take


def whole(own: Platform, found: Training) -> None:
    """See that a training is COMPLETE at its first attempt, with its whole model and its last checkpoint."""
    assert (found["state"], len(found["attempts"])) == ("COMPLETE", 1), (found["message"], found["attempts"])
    place = parse(f"{found['model']}/", 2048).key
    model = parse(own.settings.obs("out", place), 2048)
    assert sorted(entry.key for entry in own.storage.entries(model)) == ["layer-0", "layer-1", "layer-2"]
    last = parse(found["checkpoints"][-1], 2048)
    assert own.storage.read(parse(own.settings.obs("out", f"{last.key}/step"), 2048)) == b"2"


def running(found: Training) -> bool:
    return found["state"] == "RUNNING" and bool(found["checkpoints"])


def ended(found: Training) -> bool:
    return bool(found["ended_at"])


def test_prefect_away_for_a_minute_in_which_the_script_ends(
    own: Platform, start: Start, until: Callable[..., Training], away: Callable[[str], Any]
):
    """It completes meanwhile; Prefect's page tells the truth once that is back."""
    training_id = start("prefect-away", seconds=15)
    until(training_id, running)
    back = away("prefect")
    began = time.monotonic()
    found = until(training_id, lambda one: one["state"] != "RUNNING", 90)
    time.sleep(max(0.0, 60 - (time.monotonic() - began)))
    back()
    found = until(training_id, ended)
    whole(own, found)
    run = found["pages"]["run"].rpartition("/")[2]

    def told() -> bool:
        try:
            answer = httpx.get(f"{own.settings.prefect_api_url}/flow_runs/{run}", timeout=10, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.is_success and answer.json()["state_type"] == "COMPLETED"

    within(120, told, "Prefect to know")


def knows(own: Platform, run_id: str) -> bool:
    """Say whether MLflow has a run as finished."""
    url = f"{own.settings.mlflow_url}/api/2.0/mlflow/runs/get"
    try:
        answer = httpx.get(url, params={"run_id": run_id}, timeout=10, trust_env=False)
    except httpx.TransportError:
        return False
    return answer.is_success and answer.json()["run"]["info"]["status"] == "FINISHED"


def test_mlflow_away_at_the_beginning_and_at_the_end(
    own: Platform, start: Start, until: Callable[..., Training], away: Callable[[str], Any]
):
    """One that runs completes, one that is new waits for its run; both are told of when it is back."""
    first = start("mlflow-away", seconds=6)
    until(first, running)
    back = away("mlflow")
    second = start("mlflow-new", seconds=1)
    whole(own, until(first, ended))
    assert reading.read(own, second)["state"] == "CREATE_REQUESTED"
    back()
    for training_id in (first, second):
        found = until(training_id, ended)
        whole(own, found)
        within(120, lambda run=found["mlflow_run_id"]: knows(own, run), "MLflow to know")
    search, body = f"{own.settings.mlflow_url}/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]}
    runs = httpx.post(search, json=body, timeout=30, trust_env=False).json()["runs"]
    names = [run["info"]["run_name"] for run in runs]
    assert sorted(name for name in names if name.startswith("mlflow")) == ["mlflow-away", "mlflow-new"]


def test_a_store_of_which_a_third_of_the_answers_fail(
    own: Platform, line: FaultyStore, start: Start, until: Callable[..., Training]
):
    """Code, checkpoints and model come through, whole, at the first attempt; then it answers nothing for a minute."""
    line.share = 0.3
    training_id = start("faulty-store", store=FAULTY, seconds=30)
    until(training_id, running)
    line.is_silent = True
    time.sleep(75)  # the second checkpoint, and the end of the script, fall into the silence
    line.is_silent = False
    found = until(training_id, ended)
    line.share = 0.0
    whole(own, found)
    failed = sum(count for fault, count in line.seen.items() if fault != "passed")
    assert failed > 5, line.seen


class SmallDisk:
    """A disk that is filled, and emptied again."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / ".ballast"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65536))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@pytest.fixture
def disk(own: Platform) -> Iterator[SmallDisk]:
    """The disk on which attempts work, a small one of its own."""
    work = own.settings.home / "work"
    work.mkdir(exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(work)]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    made = SmallDisk(work)
    yield made
    made.free()
    subprocess.run(["umount", "-l", str(work)], check=True)


def test_a_disk_that_is_full_for_a_while(own: Platform, start: Start, until: Callable[..., Training], disk: SmallDisk):
    """A training that saves meanwhile goes on or is tried again from what it had kept; it completes, whole."""
    training_id = start("full-disk", seconds=25)
    until(training_id, running)
    disk.fill()
    time.sleep(40)  # the second checkpoint and the model fall into it
    disk.free()
    found = until(training_id, ended)
    assert found["state"] == "COMPLETE", (found["message"], found["attempts"])
    assert {attempt["reason"] for attempt in found["attempts"]} <= {"", "STORAGE"}
    last = parse(found["checkpoints"][-1], 2048)
    assert own.storage.read(last / "step") == b"2"
    assert len(list(own.storage.entries(parse(f"{found['model']}/", 2048)))) == 3


def test_nothing_is_left(own: Platform):
    """After all of that nothing is held, and a look at everything finds nothing to repair."""
    within(90, lambda: not left_over(own), "nothing to be left over")
    assert not [folder for folder in Path(own.settings.home / "kept").glob("*") if any(folder.iterdir())]
