"""The line to supervisord: XML-RPC over its UNIX socket, with a deadline, its faults told by name."""

import http.client
import os
import socket
import xmlrpc.client
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

from blocks.hosts.errors import HostAway


class Fault(IntEnum):
    """supervisord's answers that mean something to us (supervisor.xmlrpc.Faults)."""

    SHUTDOWN_STATE = 6
    BAD_NAME = 10
    ALREADY_STARTED = 60
    NOT_RUNNING = 70
    ALREADY_ADDED = 90
    STILL_RUNNING = 91
    CANT_REREAD = 92


class Refused(Exception):
    """supervisord understood and said no; who asked translates that into words of its own."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    # supervisor's own has no time limit: a supervisord that is stopped would hold its callers for ever.
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path, self._timeout = path, timeout

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        del host
        return _UnixConnection(self._path, self._timeout)


def call(path: Path, method: str, *arguments: str | bool, within: float = 10.0) -> Any:
    """Ask supervisord one thing (`method` without its `supervisor.`), in at most `within` seconds.

    Raises:
        Refused: with the code of the fault.
        HostAway: nobody answers at the socket, it belongs to another user, or the answer did not come in time.
    """
    try:
        if path.stat().st_uid != os.getuid():
            raise HostAway(f"supervisord's socket {path} belongs to another user.")
        with xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(path, within)) as server:
            remote: Callable[..., Any] = getattr(server.supervisor, method)
            return remote(*arguments)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode == Fault.SHUTDOWN_STATE:
            raise HostAway(f"supervisord at {path} is shutting down.") from fault
        raise Refused(fault.faultCode, str(fault.faultString)) from fault
    except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
        raise HostAway(f"supervisord does not answer at {path} ({error!r}); is the platform up?") from error
