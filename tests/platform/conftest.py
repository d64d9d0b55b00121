"""What the tests on the running platform share: its doors, places in its object store, and the batch of trainings."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from blocks import settings as platform_settings
from blocks.platform import Platform
from blocks.pools.environments import Environments
from blocks.settings import Settings
from blocks.storage.location import parse
from tests.conftest import platform_folder
from tests.platform import terminal
from tests.platform.batch import BATCH, Batch
from tests.platform.deadlines import within

SCRIPTS = Path(__file__).parent / "scripts"
DIGITS = Path(__file__).parents[2] / "docs" / "examples" / "digits"
IMAGE = "pytorch-2.13-cpu-py311"
EMF_SECONDS = 120
# The queue needs a machine of which nothing is given out, the ends trainings that are on their way to theirs; what
# takes parts of the platform away comes when the batch has ended.
FIRST = ("test_queue", "test_ends")
LAST = (
    "test_experiments",
    "test_tensorflow",
    "test_several",
    "test_down_and_up",
    "test_outages",
    "test_step_kills",
    "test_kills",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put these files' tests in an order in which their trainings overlap and do not disturb each other."""

    def place(item: pytest.Item) -> int:
        if item.path.parent != Path(__file__).parent:
            return 0
        name = item.path.stem
        return FIRST.index(name) - len(FIRST) if name in FIRST else LAST.index(name) + 1 if name in LAST else 0

    items.sort(key=place)


@pytest.fixture(scope="module")
def own(platform: Settings) -> Iterator[Platform]:
    """A platform of a file's own, whose parts may be taken away; it borrows the environments of the session's."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with platform_folder():
        settings = platform_settings.load()
        (platform.home / "environments").mkdir(exist_ok=True)
        (settings.home / "environments").symlink_to(platform.home / "environments")
        terminal.emf("up")
        with temporary_settings({PREFECT_API_URL: settings.prefect_api_url}):  # this process asks its Prefect
            yield Platform(settings)


@pytest.fixture(scope="session")
def api(platform: Settings) -> Iterator[ModuleType]:
    """The flows from Python; this process's Prefect is the platform's, also where it was imported before."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows import api

    with temporary_settings({PREFECT_API_URL: platform.prefect_api_url}):
        yield api


@pytest.fixture(scope="session")
def connections(platform: Settings) -> Platform:
    """The records, the storage, MLflow and the logs of the platform."""
    return Platform(platform)


@pytest.fixture(scope="session")
def prefect(platform: Settings) -> Iterator[httpx.Client]:
    """A line to Prefect's API."""
    with httpx.Client(base_url=platform.prefect_api_url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def emf(platform: Settings) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `emf` as a person does, in a process of its own."""

    def run(*words: str, seconds: float = EMF_SECONDS, **environ: str) -> subprocess.CompletedProcess[str]:
        argv = [Path(sys.executable).with_name("emf"), *words]
        found = os.environ | environ
        return subprocess.run(argv, env=found, capture_output=True, text=True, timeout=seconds, check=False)

    return run


@pytest.fixture(scope="session")
def places(platform: Settings, connections: Platform, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the path that a short name stands for; scripts, data and containers are put there first."""
    storage = connections.storage
    for container in ("code", "data", "out", "kept"):
        storage.ensure_container(parse(platform.obs(container)))
    storage.upload(SCRIPTS, parse(platform.obs("code", "scripts")), skip=lambda name: "__pycache__" in name)
    storage.upload(DIGITS, parse(platform.obs("code", "digits")), skip=lambda name: "__pycache__" in name)
    python, folder = Environments(platform.home).ensure("pytorch", print), tmp_path_factory.mktemp("digits")
    subprocess.run([python, DIGITS / "prepare.py", folder], check=True, timeout=120)
    storage.upload(folder, parse(platform.obs("data", "digits")))
    many = tmp_path_factory.mktemp("many")
    for number in range(90_000):  # a stop takes seconds, on a busy machine more
        (many / f"{number}.txt").touch()

    def path(name: str) -> str:
        if name == "many files":
            return f"file://{many}"
        container, _, key = name.partition("/")
        return name if "://" in name else platform.obs(container, key)

    return path


@pytest.fixture(scope="session")
def asked(places: Callable[[str], str]) -> Callable[..., dict[str, Any]]:
    """Return a request for a training of `hello.py`, with these changes; paths may be short."""

    def request(name: str, **changes: Any) -> dict[str, Any]:
        given = {
            "name": name,
            "experiment": "platform",
            "algorithm_path": "code/scripts",
            "entry_point": "hello.py",
            "image": IMAGE,
            "instance_type": "cpu.small",
            "output_path": f"out/{name}",
            "checkpoint_path": f"kept/{name}",
            "maximum_time": "30m",
        } | changes
        paths = {key: places(given[key]) for key in ("algorithm_path", "output_path", "checkpoint_path")}
        data_sets = [entry | {"path": places(entry["path"])} for entry in given.get("data_sets", [])]
        return given | paths | {"data_sets": data_sets}

    return request


@pytest.fixture(scope="session")
def batch(api: ModuleType, asked: Callable[..., dict[str, Any]]) -> Batch:
    """The trainings of `BATCH`, submitted when the first test asks for one."""
    ids = {name: api.create_training(**asked(name, **changes))["id"] for name, changes in BATCH.items()}
    return Batch(api.show_training, ids)


@pytest.fixture(scope="session")
def log(connections: Platform) -> Callable[[str], list[str]]:
    """Return all lines of a training's log that its script wrote."""

    def lines(training_id: str) -> list[str]:
        return [line.body for line in connections.logs.follow(training_id, lambda: True) if line.source == "script"]

    return lines


@pytest.fixture(scope="session")
def files(connections: Platform) -> Callable[[str], list[str]]:
    """Return what lies at a place, by its path below it."""
    return lambda path: sorted(entry.key for entry in connections.storage.entries(parse(path, 2048)))


@pytest.fixture(scope="session")
def mlflow_run(platform: Settings) -> Callable[[str], dict[str, dict[str, str]]]:
    """Return a run as MLflow's API has it: its `info` and `outputs`, and its `params`, `tags` and `metrics` by name.

    The controller tells MLflow of an end within seconds; that is waited for.
    """

    def run(run_id: str) -> dict[str, dict[str, str]]:
        def ended() -> dict[str, dict[str, str]] | None:
            found = read(run_id)
            return found if found["info"]["status"] != "RUNNING" else None

        return within(30, ended, f"the end of the run {run_id} in MLflow")

    def read(run_id: str) -> dict[str, dict[str, str]]:
        answer = httpx.get(f"{platform.mlflow_url}/api/2.0/mlflow/runs/get", params={"run_id": run_id}, trust_env=False)
        found = answer.raise_for_status().json()["run"]
        by_name = {
            kind: {entry["key"]: entry["value"] for entry in found["data"].get(kind, [])}
            for kind in ("params", "tags", "metrics")
        }
        return {"info": found["info"], "outputs": found.get("outputs", {}), **by_name}

    return run
