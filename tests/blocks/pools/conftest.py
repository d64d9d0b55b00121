"""A Prefect server for this room's tests, and an index of small packages."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.settings import Settings
from tests.prefect_server import served


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    """The settings of a platform of which only Prefect's server runs."""
    with served() as settings:
        yield settings


@pytest.fixture
def wheels(tmp_path, monkeypatch) -> Path:
    """A folder of files that both installers look into, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(folder),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_CONFIG_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    return folder
