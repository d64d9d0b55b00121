"""The flow that opens TensorBoard."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blocks.platform import Platform
from flows.tensorboard import flow, service


def test_the_making_of_its_environment_is_in_the_runs_log(
    here: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Who opens the first one in Prefect sees there what takes minutes."""

    def start(_platform: Platform, resource_id: str, _folder: Path, progress: Callable[[str], Any]) -> str:
        progress("Prepared 30 packages")
        return f"page of {resource_id}"

    monkeypatch.setattr(flow, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(service, "start", start)
    with caplog.at_level(logging.INFO, "test"):
        assert flow.open_over.fn(here, "tr-1", tmp_path) == "page of tr-1"
    assert caplog.messages == ["Prepared 30 packages"]
