"""Trying out a place: what is done, and which failure is told."""

import pytest

from blocks.storage.errors import AccessDenied, StorageError, Unreachable
from blocks.storage.probe import write_read_remove


@pytest.mark.parametrize(
    ("failing", "done", "told"),
    [
        (set(), ["write", "read", "remove"], None),
        ({"write"}, ["write"], "write"),
        ({"write", "remove"}, ["write"], "write"),
        ({"read"}, ["write", "read", "remove"], "read"),
        ({"read", "remove"}, ["write", "read", "remove"], "read"),
        ({"remove"}, ["write", "read", "remove"], "remove"),
    ],
)
def test_the_first_failure_is_told(failing: set[str], done: list[str], told: str | None) -> None:
    """Only what was written is removed, and a removal that fails hides nothing that failed before it."""
    called: list[str] = []

    def step(name: str) -> None:
        called.append(name)
        if name in failing:
            raise Unreachable(name) if name == "write" else AccessDenied(name)

    def probe() -> None:
        write_read_remove(lambda: step("write"), lambda: step("read"), lambda: step("remove"))

    if told is None:
        probe()
    else:
        with pytest.raises(StorageError) as caught:
            probe()
        assert caught.value.problem == told
    assert called == done
