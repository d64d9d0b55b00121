"""TensorBoard as something that stays up: on a port of its own, closed when it ended by itself."""

import socket
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from blocks.hosts import loopback
from blocks.hosts.service import Observed, Service, State
from blocks.platform import Platform
from blocks.pools.environments import Environments
from blocks.records import services
from blocks.records.words import TrainingState
from flows.tensorboard import service as tensorboard

MOST = 20


def serve(port: int, path: str) -> ThreadingHTTPServer:
    """Answer 200 at one path; the port is bound when this returns."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == path else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Page)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


class Threads:
    """A host whose services are threads of the test: each really binds its port and answers its page."""

    def __init__(self) -> None:
        self.servers: dict[str, ThreadingHTTPServer] = {}
        self.states: dict[str, State] = {}
        self.applied: list[Service] = []

    def apply(self, service: Service) -> None:
        self.applied.append(service)
        if self.states.get(service.name) != State.RUNNING:
            self.servers[service.name] = serve(service.port or 0, service.health_path or "")
            self.states[service.name] = State.RUNNING

    def observe(self, name: str) -> Observed:
        return Observed(self.states.get(name, State.ABSENT))

    def healthy(self, service: Service, within: float = 2.0) -> bool:
        return loopback.healthy(service, within)

    def delete(self, name: str) -> None:
        if self.states.pop(name, None):
            self.end(name)

    def idle(self, name: str) -> None:
        """End one as TensorBoard ends itself."""
        self.end(name)
        self.states[name] = State.STOPPED

    def end(self, name: str) -> None:
        if server := self.servers.pop(name, None):
            server.shutdown()
            server.server_close()


@pytest.fixture
def host(here: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Threads]:
    """A host, and 20 ports that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        first = min(probe.getsockname()[1], 65535 - MOST)
    ports = here.settings.ports.model_copy(update={"tensorboard_first": first})
    here.settings = here.settings.model_copy(update={"ports": ports})
    monkeypatch.setattr(tensorboard, "PORTS", MOST)
    monkeypatch.setattr(Environments, "ensure", lambda *_: Path(sys.executable))
    made = Threads()
    here.__dict__["host"] = made
    yield made
    for name in list(made.servers):
        made.end(name)


def port_of(page: str) -> int:
    return int(page.split(":")[2].split("/", maxsplit=1)[0])


def test_it_is_opened_once(here: Platform, host: Threads, tmp_path: Path):
    """The page has the name of what it shows in it; asked again, it is the same one."""
    page = tensorboard.start(here, "tr-1", tmp_path / "tb")
    assert page.endswith("/tensorboard-tr-1/")
    assert tensorboard.start(here, "tr-1", tmp_path / "tb") == page
    assert tensorboard.page(here, "tr-1") == page
    assert tensorboard.pages(here) == {"tr-1": page}
    assert tensorboard.start(here, "tr-2", tmp_path / "tb") != page


def test_a_port_that_another_listens_on_is_not_taken(here: Platform, host: Threads, tmp_path: Path):
    """Somebody's own TensorBoard on the first port is left alone."""
    first = here.settings.ports.tensorboard_first
    foreign = serve(first, "/")
    try:
        assert port_of(tensorboard.start(here, "tr-1", tmp_path / "tb")) > first
    finally:
        foreign.shutdown()
        foreign.server_close()


@pytest.mark.parametrize("state", [State.STOPPED, State.RUNNING, State.FAILED])
def test_one_whose_port_was_taken_meanwhile_moves(here: Platform, host: Threads, tmp_path: Path, state: State):
    """Whatever the host says of it: the page that answers there is another's."""
    before = port_of(tensorboard.start(here, "tr-1", tmp_path / "tb"))
    host.idle("tensorboard-tr-1")
    host.states["tensorboard-tr-1"] = state
    foreign = serve(before, "/")
    try:
        page = tensorboard.start(here, "tr-1", tmp_path / "tb")
    finally:
        foreign.shutdown()
        foreign.server_close()
    assert port_of(page) != before
    assert host.states["tensorboard-tr-1"] == State.RUNNING


@pytest.mark.parametrize("state", [State.STOPPED, State.FAILED, State.ABSENT])
def test_those_that_ended_are_closed(here: Platform, host: Threads, tmp_path: Path, state: State):
    """Only those, however they ended: their records and ports are free, and opened again they are there again."""
    for name in ("tr-1", "tr-2"):
        tensorboard.start(here, name, tmp_path / "tb")
    host.idle("tensorboard-tr-1")
    host.states["tensorboard-tr-1"] = state
    assert tensorboard.close_idle(here) == ["tr-1"]
    assert tensorboard.close_idle(here) == []
    assert recorded(here) == ["tr-2"]
    assert "tensorboard-tr-1" not in host.states
    assert tensorboard.start(here, "tr-1", tmp_path / "tb")


def recorded(here: Platform) -> list[str]:
    with here.records.reading() as session:
        return [row.resource_id for row in services.all_of(session, "tensorboard")]


class Beside:
    """Something that is done in another thread, once, and is waited for only a moment: it may have to wait for us."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.thread = Thread(target=do, daemon=True)
        self.had_to_wait = False

    def __call__(self) -> None:
        if self.thread.ident is None:
            self.thread.start()
            self.thread.join(0.3)
            self.had_to_wait = self.thread.is_alive()

    def finish(self) -> None:
        self.thread.join(10)
        assert not self.thread.is_alive()


def test_one_that_is_closed_while_it_is_opened_is_in_the_records(
    here: Platform, host: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Who closes those that ended waits until it runs again, and leaves it: what runs then is recorded."""
    tensorboard.start(here, "tr-1", tmp_path / "tb")
    host.idle("tensorboard-tr-1")
    apply, beside = host.apply, Beside(lambda: tensorboard.close_idle(here))

    def close_and_apply(service: Service) -> None:
        beside()
        apply(service)

    monkeypatch.setattr(host, "apply", close_and_apply)
    page = tensorboard.start(here, "tr-1", tmp_path / "tb")
    beside.finish()
    assert beside.had_to_wait
    assert recorded(here) == ["tr-1"]
    assert tensorboard.page(here, "tr-1") == page


@pytest.mark.parametrize("how", ["close", "close_idle"])
def test_one_that_is_opened_while_it_is_deleted_is_in_the_records(
    here: Platform, host: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
):
    """Who opens it waits until the record of the one before is gone: nothing runs outside the records."""
    tensorboard.start(here, "tr-1", tmp_path / "tb")
    host.idle("tensorboard-tr-1")
    delete, beside = host.delete, Beside(lambda: tensorboard.start(here, "tr-1", tmp_path / "tb"))

    def delete_and_open(name: str) -> None:
        delete(name)
        beside()

    monkeypatch.setattr(host, "delete", delete_and_open)
    if how == "close":
        tensorboard.close(here, "tr-1")
    else:
        assert tensorboard.close_idle(here) == ["tr-1"]
    beside.finish()
    assert beside.had_to_wait
    assert host.states == {"tensorboard-tr-1": State.RUNNING}
    assert recorded(here) == ["tr-1"]


def test_no_beat_waits_for_the_host(here: Platform, host: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever the host is asked to do, the records can be written meanwhile."""
    monkeypatch.setattr("blocks.records.database.BUSY_SECONDS", 0.1)
    here.records.engine.dispose()
    asked: list[str] = []

    def writing_before(what: str) -> Callable[..., Any]:
        do = getattr(host, what)

        def done(*words: Any) -> Any:
            with here.records.writing() as session:
                session.connection()
            asked.append(what)
            return do(*words)

        return done

    for what in ("apply", "observe", "delete"):
        monkeypatch.setattr(host, what, writing_before(what))
    tensorboard.start(here, "tr-1", tmp_path / "tb")
    tensorboard.close(here, "tr-1")
    tensorboard.start(here, "tr-1", tmp_path / "tb")
    host.idle("tensorboard-tr-1")
    assert tensorboard.close_idle(here) == ["tr-1"]
    assert set(asked) == {"apply", "observe", "delete"}


def test_one_that_is_opened_while_it_is_closed_stays(
    here: Platform, host: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Opened again after it was seen to have ended and before it is closed, it is not closed."""
    tensorboard.start(here, "tr-1", tmp_path / "tb")
    host.idle("tensorboard-tr-1")
    observe, pages = host.observe, list[str]()

    def observe_and_open(name: str) -> Observed:
        seen = observe(name)
        if not pages:
            pages.append("")
            pages.append(tensorboard.start(here, "tr-1", tmp_path / "tb"))
        return seen

    monkeypatch.setattr(host, "observe", observe_and_open)
    assert tensorboard.close_idle(here) == []
    assert tensorboard.page(here, "tr-1") == pages[-1]


def test_the_making_of_its_environment_is_told(here: Platform, host: Threads, tmp_path: Path, monkeypatch):
    """Who opens the first one hears each line of what takes minutes."""
    lines: list[str] = []

    def ensure(_environments: Environments, name: str, progress: Callable[[str], None]) -> Path:
        progress(f"making {name}")
        return Path(sys.executable)

    monkeypatch.setattr(Environments, "ensure", ensure)
    tensorboard.start(here, "tr-1", tmp_path / "tb", lines.append)
    assert lines == ["making tensorboard"]


def test_an_experiment_takes_its_tensorboard_along(here: Platform, host: Threads, tmp_path: Path, make):
    """Deleting an experiment closes what was opened over it, and its files go."""
    from blocks.records import experiments
    from flows.experiment.flow import delete_in_mlflow

    make(TrainingState.COMPLETE)
    with here.records.writing() as session:
        group = experiments.find(session, "group")
        group.mlflow_id = ""
    files = here.settings.home / "tensorboard" / group.id
    tensorboard.start(here, group.id, files)
    delete_in_mlflow.fn(here, group.id)
    assert host.states == {}
    assert not files.exists()
