"""Runs as a real Prefect server tells of them."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import State

from blocks.pools import runs as looking
from blocks.pools.errors import PrefectAway
from blocks.pools.runs import Runs
from blocks.settings import Settings

SILENCE_SECONDS = 20.0
LONG_AGO = datetime.now(UTC) - timedelta(days=1)
Made = Callable[..., str]


@flow(name="train")
def train(training_id: str, attempt: int) -> None: ...


@flow(name="of somebody else")
def other(training_id: str, attempt: int) -> None: ...


@pytest.fixture
def made(server: Settings) -> Made:
    """Make a run in a state; returns its id."""

    def make(state: str, training_id: str = "tr-000000000001", of: object = train) -> str:
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(of, parameters={"training_id": training_id, "attempt": 1})
            client.set_flow_run_state(run.id, State(type=StateType(state), message="said"), force=True)
            return str(run.id)

    return make


def test_each_run_is_told_of_with_its_state(made: Made):
    """One that Prefect does not know, and what is no id at all, are not there; the others are told of all the same."""
    before = datetime.now(UTC)
    known = {made(state): (state, "said") for state in ("PENDING", "RUNNING", "CRASHED", "CANCELLING")}
    found = Runs().states([*known, str(uuid4()), "the claimer", ""])
    assert {run_id: (one.state, one.message) for run_id, one in found.items()} == known
    assert all(one.since and before <= one.since <= datetime.now(UTC) for one in found.values())
    assert Runs().states([]) == {}
    assert Runs().observe(str(uuid4())) is None


def test_more_runs_than_prefect_tells_of_at_once(made: Made, monkeypatch: pytest.MonkeyPatch):
    """They are asked for in parts, and listed page by page."""
    ids = {made("CANCELLING") for _ in range(5)}
    monkeypatch.setattr(looking, "PAGE", 2)
    assert Runs().states(ids).keys() == ids
    assert Runs().cancelled(LONG_AGO).keys() >= ids


def test_what_a_person_cancelled_is_told_of(made: Made):
    """Runs of `train` that are being cancelled, whenever that began, and those that went straight to CANCELLED."""
    going, gone, alive = made("CANCELLING"), made("CANCELLED"), made("RUNNING")
    strange = made("CANCELLED", of=other)
    since = Runs().cancelled(datetime.now(UTC) - timedelta(minutes=10))
    assert (since[going].state, since[gone].state) == ("CANCELLING", "CANCELLED")
    assert {alive, strange}.isdisjoint(since)
    later = Runs().cancelled(datetime.now(UTC) + timedelta(minutes=10))
    assert going in later
    assert gone not in later


def test_what_has_not_ended_is_listed(made: Made, monkeypatch: pytest.MonkeyPatch):
    """Page by page, each with the attempt that it is for and since when it is there; of other flows nothing."""
    monkeypatch.setattr(looking, "PAGE", 2)
    known = {made(state, f"tr-{at:012x}"): state for at, state in enumerate(("SCHEDULED", "PENDING", "RUNNING"))}
    ended, strange = made("CRASHED"), made("RUNNING", of=other)
    found = {run.flow_run_id: run for page in Runs().unfinished() for run in page}
    assert {run_id: found[run_id].state for run_id in known} == known
    assert [found[run_id].attempt_id for run_id in known] == [f"tr-{at:012x}-a1" for at in range(3)]
    assert all(abs(found[run_id].created_at - datetime.now(UTC)) < timedelta(minutes=1) for run_id in known)
    assert {ended, strange}.isdisjoint(found)


def test_a_run_whose_parameters_name_no_attempt(server: Settings):
    """Somebody else's flow may have the same name."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(train, parameters={"rate": 1}, state=State(type=StateType.RUNNING))
    found = {run.flow_run_id: run.attempt_id for page in Runs().unfinished() for run in page}
    assert found[str(run.id)] == ""


@pytest.mark.parametrize(("cancelled", "state"), [(False, "CRASHED"), (True, "CANCELLED")])
def test_a_run_is_closed_whatever_it_was(made: Made, cancelled: bool, state: str):
    """Its last state says why; one that was deleted meanwhile needs no closing."""
    run_id = made("RUNNING")
    Runs().close(run_id, "its attempt has ended", cancelled=cancelled)
    observed = Runs().observe(run_id)
    assert observed is not None
    assert (observed.state, observed.message) == (state, "its attempt has ended")
    with get_client(sync_client=True) as client:
        client.delete_flow_run(UUID(run_id))
    Runs().close(run_id, "again", cancelled=cancelled)


class Page(BaseHTTPRequestHandler):
    """Somebody else, who answers everything with a page."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_given: object) -> None: ...


def test_who_is_no_prefect_is_away():
    """Nobody at its address, or somebody else: it is asked again, and nothing is taken for its answer."""
    with HTTPServer(("127.0.0.1", 0), Page) as somebody:
        threading.Thread(target=somebody.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        for port in (9, somebody.server_port):
            url = f"http://127.0.0.1:{port}/api"
            with temporary_settings({PREFECT_API_URL: url}), pytest.raises(PrefectAway):
                Runs().states([str(uuid4())])
        somebody.shutdown()


class Ailing(BaseHTTPRequestHandler):
    """A server that takes no writes: 503, or silence."""

    asked: ClassVar[list[str]] = []
    is_over: ClassVar[threading.Event] = threading.Event()
    hangs: ClassVar[bool] = False

    def do_POST(self) -> None:
        self.asked.append(self.path)
        if self.hangs:
            self.is_over.wait(SILENCE_SECONDS)
        self.send_response(503)
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_given: object) -> None: ...


@pytest.mark.parametrize("hangs", [False, True])
def test_who_takes_no_writes_is_asked_once(monkeypatch: pytest.MonkeyPatch, hangs: bool):
    """For a run to be submitted as for one to be closed; who hangs is soon given up."""
    monkeypatch.setattr(looking, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr(Ailing, "hangs", hangs)
    Ailing.is_over.clear()
    given: Any = {"name": "", "pool": "process", "tags": [], "environment": {}, "job_variables": {}}
    with ThreadingHTTPServer(("127.0.0.1", 0), Ailing) as ailing:
        threading.Thread(target=ailing.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{ailing.server_port}/api"}):
            for write in (
                lambda: Runs().close(str(uuid4()), "", cancelled=False),
                lambda: Runs().submit("tr-1-a1", {}, **given),
            ):
                Ailing.asked.clear()
                began = time.monotonic()
                with pytest.raises(PrefectAway):
                    write()
                assert len(Ailing.asked) == 1
                assert time.monotonic() - began < SILENCE_SECONDS
        Ailing.is_over.set()
        ailing.shutdown()
