"""Logs of the processes that know secrets."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from flows.control import control_flow

SECRET = "postgresql://emf:hunter2@db/records"


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Structlog as a fresh process has it, before and after."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def test_what_a_control_flow_logs_tells_no_variables(capsys: pytest.CaptureFixture[str]):
    """A fault is logged with its traceback, and without the address of the records that stood in a variable."""

    def look() -> None:
        url = SECRET
        if url:
            raise ZeroDivisionError("not looked at")

    @control_flow("test")
    async def work() -> Any:
        try:
            look()
        except ZeroDivisionError:
            structlog.get_logger("reconcile").exception("not repaired", subject="tr-1")

    asyncio.run(work.fn())
    printed = capsys.readouterr().out
    assert "in look" in printed
    assert "subject=tr-1" in printed
    assert "hunter2" not in printed
