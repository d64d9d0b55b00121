"""What tests of every layer share: a platform that really runs, started once, and only where a test asks for it."""

import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from blocks import settings as platform_settings
from blocks.hosts.loopback import can_bind
from blocks.settings import Ports, Settings
from deployments.one_machine import start, stop
from deployments.one_machine.parts import Part

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

TESTS = Path(__file__).parent
# Fixtures that start processes, and places whose tests all do: those are not unit tests.
STARTERS = {"swift", "server", "supervisord", "image", "base", "store", "object_store"}
STARTING = (
    TESTS / "images",
    TESTS / "deployments",
    TESTS / "blocks" / "hosts" / "test_program.py",
    TESTS / "blocks" / "logs" / "test_capture.py",
    TESTS / "blocks" / "pools" / "test_command.py",
    TESTS / "blocks" / "pools" / "test_environments.py",
    TESTS / "blocks" / "pools" / "test_open_files.py",
    TESTS / "blocks" / "pools" / "test_overlay.py",
    TESTS / "blocks" / "pools" / "test_processes.py",
    TESTS / "flows" / "cli" / "test_emf.py",
    TESTS / "flows" / "training" / "instances" / "test_gang.py",
    TESTS / "flows" / "training" / "instances" / "test_launch.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a real engine, or all of the platform, so that `make test` runs what needs neither first."""
    for item in items:
        if item.path.is_relative_to(TESTS / "platform"):
            item.add_marker("platform")
        starts = STARTERS & set(getattr(item, "fixturenames", ())) or "[obs" in item.name
        if starts or any(item.path.is_relative_to(place) for place in STARTING):
            item.add_marker("engine")


class Silent:
    """Progress that nobody watches; pytest shows it when a test fails."""

    def note(self, text: str) -> None:
        print(text)

    def waiting(self, what: Iterable[str]) -> None:
        return

    def ready(self, part: Part, seconds: float) -> None:
        print(f"{part.name} is well after {seconds:.1f} s")


def free_ports() -> dict[str, str]:
    """Return EMF_PORT_… for ports that nobody uses, below those that the kernel gives to outgoing connections."""
    free = filter(can_bind, random.sample(range(10_000, 32_000, 100), 220))
    return {f"EMF_PORT_{part.upper()}": str(port) for part, port in zip(Ports.model_fields, free, strict=False)}


@contextmanager
def platform_folder() -> Iterator[dict[str, str]]:
    """Put a platform's folder and ports of its own into the environment; whatever runs there is down at the end."""
    with tempfile.TemporaryDirectory(prefix="emf-test-") as folder, pytest.MonkeyPatch.context() as patch:
        environ = {"EMF_HOME": folder, **free_ports()}
        for name, value in environ.items():
            patch.setenv(name, value)
        try:
            yield environ
        finally:
            stop.down(platform_settings.load(Path(folder)), Silent())


@pytest.fixture(scope="session")
def platform() -> Iterator[Settings]:
    """The settings of a platform that is up for the whole session: EMF_HOME and EMF_PORT_… name it."""
    os.environ.pop("EMF_RECORDS_URL", None)
    with platform_folder():
        settings = platform_settings.load()
        start.up(settings, Silent())
        yield settings
