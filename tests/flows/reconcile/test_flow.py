"""The scheduled backstop: what it asks of the controller, what it does, and what it shows."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.words import TrainingState
from flows.reconcile import flow
from flows.reconcile.flow import listening_since, look_and_repair, reconcile
from tests.flows.reconcile.conftest import FakeRuns, Granted


@pytest.fixture
def controller(request: pytest.FixtureRequest) -> Iterator[str]:
    """An address that answers with a status and a body."""
    status, body = request.param

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_given: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


SINCE = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
SAID = f'{{"listening_since": "{SINCE.isoformat()}"}}'.encode()


@pytest.mark.parametrize(
    ("controller", "since"),
    [((200, SAID), SINCE), ((503, SAID), SINCE), ((200, b"{}"), None), ((502, b"<html>"), None), ((200, b"[]"), None)],
    indirect=["controller"],
)
def test_the_controller_says_since_when_it_hears(controller: str, since: datetime | None):
    """Also where one of its loops is late; what is no answer of the controller's is none."""
    assert listening_since(controller) == since


def test_a_door_that_is_shut_hears_nobody():
    """Then no attempt may be blamed for its silence."""
    assert listening_since("http://127.0.0.1:9") is None


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, runs: FakeRuns) -> list[str]:
    """The pages that the flow shows; of Prefect there are only the runs that a test makes."""
    pages: list[str] = []

    async def show(markdown: str) -> None:
        pages.append(markdown)

    monkeypatch.setattr(flow, "show", show)
    monkeypatch.setattr(flow, "Runs", lambda: runs)
    monkeypatch.setattr(flow, "Forms", lambda _settings: SimpleNamespace(link=lambda text, *_rest: text))
    monkeypatch.setattr(flow, "listening_since", lambda _url: datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(flow, "look_and_repair", look_and_repair.fn)
    return pages


@pytest.fixture
def left(here: Platform, make: Callable[..., str]) -> Path:
    """The folder of an attempt that has ended."""
    training_id = make(TrainingState.RUNNING)
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
        verbs.end(session, attempt, TrainingState.STOPPED, reason=None, message="", evidence={})
    folder = here.settings.home / "work" / attempt.id
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_shows_what_it_found_and_did(
    here: Platform, granted: Granted, shown: list[str], left: Path, attempt_of: Any, dry_run: bool
):
    """What differs, what is tidied, what was repaired last and how it went; a dry run has repaired nothing."""
    dead = granted(TrainingState.RUNNING, silent=16)
    answer = asyncio.run(reconcile.fn(dry_run))
    assert {one["subject"]: one["repair"] for one in answer["found"]} == {dead: "end", left.name: "tidy"}
    assert [one["subject"] for one in answer["repaired"]] == ([] if dry_run else [dead])
    assert answer["attempts"] == 1
    assert left.is_dir() == dry_run
    assert (attempt_of(dead).ended_at is None) == dry_run
    (page,) = shown
    assert page.startswith("## Would be put right" if dry_run else "## Put right")
    assert f"| {dead} | end | lost: it has been silent" in page
    assert "1 attempt looked at in" in page
