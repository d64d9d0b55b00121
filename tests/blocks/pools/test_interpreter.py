"""Which Python images' environments are made with."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from blocks.pools import interpreter as interpreters
from blocks.pools.interpreter import Interpreter, interpreter

OWN = sys.version_info[:2]


@pytest.fixture(autouse=True)
def asked_afresh() -> Iterator[None]:
    """Forget what was found, before and after."""
    interpreter.cache_clear()
    yield
    interpreter.cache_clear()


def test_a_python_of_the_machine_is_found():
    """What is found is of the version that was asked for, and no virtual environment's."""
    found = interpreters.installed(OWN)
    assert found is not None and found.version == OWN
    code = "import sys; print(*sys.version_info[:2], sys.prefix == sys.base_prefix)"
    told = subprocess.run([found.path, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.split() == [*map(str, OWN), "True"]


def test_a_python_that_is_not_there_is_not_found():
    """And none is downloaded."""
    assert interpreters.installed((3, 99)) is None


def test_the_images_python_goes_before_the_platforms(monkeypatch: pytest.MonkeyPatch):
    """Where the machine has it, images run with the Python that they are named after."""
    other = Interpreter("/usr/bin/python3.99", (3, 99))
    monkeypatch.setattr(interpreters, "WANTED", (3, 99))
    monkeypatch.setattr(interpreters, "installed", lambda version: other if version == (3, 99) else None)
    assert interpreter() == other
    assert interpreter().note == ""


def test_without_the_images_python_the_platforms_is_taken_and_told(monkeypatch: pytest.MonkeyPatch):
    """The sentence names the one that is missing and the one that scripts run with."""
    monkeypatch.setattr(interpreters, "WANTED", (3, 99))
    assert interpreter() == Interpreter(sys.executable, OWN)
    assert "no Python 3.99" in interpreter().note and f"Python {OWN[0]}.{OWN[1]}," in interpreter().note
