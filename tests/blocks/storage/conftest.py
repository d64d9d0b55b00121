"""The object store itself, as one machine runs it, and one place of each kind for the tests of the common interface."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from blocks.storage import Endpoint, Location, Storage, parse

SECRET = "a-secret-that-no-text-may-show"
ROOT = Path(__file__).parents[3]


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A real object store in one subprocess, for the session."""
    home, port = tmp_path_factory.mktemp("swift"), free_port()
    environ = os.environ | {
        "EMF_HOME": str(home),
        "EMF_PORT_OBJECT_STORE": str(port),
        "EMF_OBJECT_STORE_ACCESS_KEY": "easymaker:platform",
        "EMF_OBJECT_STORE_SECRET_KEY": SECRET,
        "EMF_SWIFT_HASH_SUFFIX": uuid.uuid4().hex,
    }
    command = [sys.executable, "-m", "deployments.one_machine.object_store"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not _healthy(url):
            assert process.poll() is None and time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.1)
        yield Endpoint(url=url, access_key="easymaker:platform", secret_key=SecretStr(SECRET), account="easymaker")
    finally:
        process.terminate()
        process.wait(20)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthcheck", timeout=5).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def container(swift: Endpoint) -> Location:
    """A container of this test alone."""
    place = parse(f"obs://{swift.url.removeprefix('http://')}/t-{uuid.uuid4().hex}")
    object_storage(swift).ensure_container(place)
    return place


def object_storage(endpoint: Endpoint) -> Storage:
    """A storage that knows this one object store."""
    return Storage({endpoint.url.removeprefix("http://"): endpoint}, {})


@pytest.fixture
def on_objects(swift: Endpoint) -> Storage:
    """A storage that knows the object store and nothing else."""
    return object_storage(swift)


@pytest.fixture(params=["obs", "nas", "file"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, Location]:
    """A storage and an empty place of it; each test that takes this runs once for every kind of storage."""
    if request.param == "obs":
        storage: Storage = request.getfixturevalue("on_objects")
        place: Location = request.getfixturevalue("container")
        return storage, place / "a folder"
    mount = tmp_path / "mount"
    mount.mkdir()
    text = "nas://nas-1:/a folder" if request.param == "nas" else f"file://{mount}/a folder"
    return Storage({}, {"nas-1": mount}), parse(text, limit=2048)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with files in folders, an empty one, a large name and a Korean name."""
    folder = tmp_path / "tree"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


FILES = {
    "model.bin": b"m" * 100_000,
    "empty": b"",
    "데이터/한글 파일.txt": "값".encode(),
    "deep/er/100%25+a b&c.txt": b"odd",
    "deep/er/-": b"dash",
}


def content(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def unprivileged() -> Iterator[Callable[[], None]]:
    """Call it to go on as a user who owns nothing; the test's end restores the one before."""
    before = os.geteuid()

    def drop() -> None:
        if before == 0:
            os.seteuid(65534)

    yield drop
    os.seteuid(before)
