"""The words of the room, without any host."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from blocks.errors import Permanent, Temporary
from blocks.hosts import loopback
from blocks.hosts.errors import BadService, HostAway, NoFreePort
from blocks.hosts.loopback import free_port, free_ports
from blocks.hosts.service import Service
from blocks.hosts.supervisord import socket_path


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Upper"),
        ("name", "../x"),
        ("name", "-x"),
        ("name", "x\n"),
        ("name", "x" * 64),
        ("name", ""),
        ("command", []),
        ("command", ["a\0b"]),
        ("environment", {"A B": "x"}),
        ("environment", {"A=": "x"}),
        ("environment", {"A": "secret\0"}),
        ("port", 0),
        ("port", 65536),
        ("health_path", "health"),
        ("folder", Path("relative")),
        ("stop_seconds", -1),
        ("stop_seconds", 301),
    ],
)
def test_bad_services(field: str, value: object) -> None:
    """A field that is wrong is refused, with no environment value in the message."""
    fields: dict[str, Any] = {"name": "it", "command": ["x"], "environment": {}, "port": 80, field: value}
    with pytest.raises(BadService) as caught:
        Service(**fields)
    assert "secret" not in str(caught.value)


def test_errors_say_whether_to_ask_again() -> None:
    """Every error of the room is Permanent or Temporary."""
    assert issubclass(BadService, Permanent)
    assert issubclass(HostAway, Temporary)
    assert issubclass(NoFreePort, Temporary)


def test_free_port() -> None:
    """A port is given that nobody listens on and that was not promised; when there is none, that is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port, 50) != port
        with pytest.raises(NoFreePort, match=f"{port}-{port}"):
            free_port(port, 1)
    assert free_port(port, 1) == port
    with pytest.raises(NoFreePort):
        free_port(port, 1, taken={port})


def test_socket_path() -> None:
    """The socket is in the platform's folder unless no socket can have so long a path; then it differs by folder."""
    assert socket_path(Path("/home/me/.emf")) == Path("/home/me/.emf/supervisor/supervisord.sock")
    long = Path("/" + "long/" * 40)
    assert socket_path(long) != socket_path(long / "other")
    assert len(os.fsencode(socket_path(long))) < 80
    assert len(os.fsencode(socket_path(Path("/" + "가" * 30)))) < 97


def test_ports_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a row are free, at every address; where one of each row is taken, there is none."""
    first = free_ports(7)
    assert 10_000 <= first <= 32_768 - 7
    with socket.create_server(("0.0.0.0", first + 3)):
        monkeypatch.setattr(loopback, "IN_A_ROW", range(first, first + 7))
        with pytest.raises(NoFreePort, match="No 4 ports in a row"):
            free_ports(4)
        assert free_ports(3) in (first, first + 4)
