"""The object store's upkeep, and what survives a kill, on a real one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deployments.one_machine.object_store import upkeep
from tests.conftest import free_ports

pytestmark = pytest.mark.platform
KEY = "s%3cret;='#x"


def eventually(check: Callable[[], bool], seconds: float = 30) -> bool:
    """Say whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.1)
    return False


class Store:
    """One object store's process, and Swift's own API on it."""

    def __init__(self, home: Path) -> None:
        ports = free_ports()
        self.url = f"http://127.0.0.1:{ports['EMF_PORT_OBJECT_STORE']}"
        keys = {"EMF_OBJECT_STORE_ACCESS_KEY": "lab:me", "EMF_OBJECT_STORE_SECRET_KEY": KEY}
        self.environ = os.environ | ports | keys | {"EMF_HOME": str(home), "EMF_SWIFT_HASH_SUFFIX": "abc"}

    @contextmanager
    def running(self, every_seconds: float) -> Iterator[httpx.Client]:
        """Run it with this time between upkeeps; kill it at the end."""
        code = (
            "from swift.common import utils; utils.monkey_patch(); import runpy\n"
            f"from deployments.one_machine.object_store import upkeep; upkeep.EVERY_SECONDS = {every_seconds}\n"
            "runpy.run_module('deployments.one_machine.object_store', run_name='__main__')"
        )
        with subprocess.Popen([sys.executable, "-c", code], env=self.environ) as process:
            try:
                assert eventually(self._answers)
                yield self._client()
            finally:
                process.kill()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthcheck").is_success
        except httpx.HTTPError:
            return False

    def _client(self) -> httpx.Client:
        answer = httpx.get(f"{self.url}/auth/v1.0", headers={"X-Auth-User": "lab:me", "X-Auth-Key": KEY})
        headers = {"X-Auth-Token": answer.raise_for_status().headers["x-auth-token"]}
        return httpx.Client(base_url=answer.headers["x-storage-url"], headers=headers)


def test_objects_survive_a_kill_and_expire_when_told(tmp_path: Path) -> None:
    """What was acknowledged is there after SIGKILL; what has an end goes; accounts learn what containers hold."""
    store = Store(tmp_path)
    with store.running(every_seconds=upkeep.EVERY_SECONDS) as client:
        client.put("/box").raise_for_status()
        client.put("/box/kept", content=b"kept").raise_for_status()
        client.put("/box/short", content=b"short", headers={"X-Delete-After": "1"}).raise_for_status()
    with store.running(every_seconds=1) as client:
        assert client.get("/box/kept").content == b"kept"
        assert eventually(lambda: "short" not in client.get("/box").text.split())
        assert eventually(
            lambda: [(box["count"], box["bytes"]) for box in client.get("?format=json").json()] == [(1, 4)]
        )
