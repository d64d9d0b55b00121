"""A Prefect server for this room's tests."""

from collections.abc import Iterator

import pytest

from blocks.settings import Settings
from tests.prefect_server import served


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    """The settings of a platform of which only Prefect's server runs."""
    with served() as settings:
        yield settings
