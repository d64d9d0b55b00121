"""A Prefect server of a test's own, with its database and its events."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from blocks.settings import Ports, Settings
from deployments.one_machine.environment import CHECKOUT, prefect_server, process_environment
from deployments.one_machine.parts import all_parts
from tests.conftest import free_ports

SECONDS = 120.0


@contextmanager
def served() -> Iterator[Settings]:
    """Start a server as the platform does, point this process's Prefect at it, and end it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    ports = {name.removeprefix("EMF_PORT_").lower(): int(port) for name, port in free_ports().items()}
    with tempfile.TemporaryDirectory(prefix="emf-test-prefect-") as folder, pytest.MonkeyPatch.context() as patch:
        settings = Settings(home=Path(folder), ports=Ports(**ports))
        (settings.home / "prefect").mkdir()
        environ = process_environment(settings, "prefect", os.environ) | prefect_server(settings)
        command = next(part.command for part in all_parts(settings) if part.name == "prefect")
        with (settings.home / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environ, cwd=CHECKOUT, stdout=log, stderr=log)
        try:
            _wait(settings, process)
            patch.setenv("PREFECT_API_URL", settings.prefect_api_url)
            with temporary_settings({PREFECT_API_URL: settings.prefect_api_url}):
                yield settings
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _wait(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if httpx.get(f"{settings.prefect_api_url}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() is None and time.monotonic() < deadline, (settings.home / "log").read_text()
        time.sleep(0.2)
