"""Ports of this machine: which is free, and whether who listens there is well."""

import http.client
import random
import socket
import time
from collections.abc import Collection
from contextlib import closing

from blocks.hosts.errors import NoFreePort
from blocks.hosts.service import Service
from blocks.settings import LOOPBACK

IN_A_ROW = range(10_000, 32_768)  # Linux gives the ports from 32768 on to outgoing connections
TRIES = 100
EVERYWHERE = "0.0.0.0"  # noqa: S104 (only to ask; nothing listens there)


def free_port(first: int, count: int, taken: Collection[int] = ()) -> int:
    """Return the lowest port of `first … first + count - 1` that is not in `taken` and that nobody listens on.

    `taken` are those promised to services that may not have bound theirs yet (the records know).

    Raises:
        NoFreePort: there is none.
    """
    for port in range(first, first + count):
        if port not in taken and can_bind(port):
            return port
    raise NoFreePort(f"All ports {first}-{first + count - 1} are taken; end a service that you no longer need.")


def free_ports(count: int) -> int:
    """Return the first of `count` ports in a row that nobody listens on, at any address of this machine.

    Which they are is chance, as others choose at the same time; they lie below those that the kernel gives to outgoing
    connections, which could take one between the choice and its use.

    Raises:
        NoFreePort: there is no such row.
    """
    first, last = IN_A_ROW.start, IN_A_ROW.stop - count
    starts = range(first, last + 1)
    for port in random.sample(starts, min(TRIES, len(starts))):
        if all(can_bind(each, EVERYWHERE) for each in range(port, port + count)):
            return port
    where = f"from {first} to {IN_A_ROW.stop - 1}"
    raise NoFreePort(f"No {count} ports in a row were found free {where}; end what listens there.")


def healthy(service: Service, within: float = 2.0) -> bool:
    """Say whether the service answers 2xx at its health path (without one: accepts) in at most `within` seconds.

    A service without a port has nothing that could be asked: True.
    """
    if service.port is None:
        return True
    deadline = time.monotonic() + within
    connection = http.client.HTTPConnection(LOOPBACK, service.port, timeout=within)
    try:
        with closing(connection):
            connection.connect()
            if service.health_path is None:
                return True
            # The socket's time limit is for one receive: a server that drips its headers must not have one for each.
            connection.sock.settimeout(max(0.01, deadline - time.monotonic()))
            connection.request("GET", service.health_path, headers={"Connection": "close"})
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return False
    return 200 <= status < 300 and time.monotonic() <= deadline


def can_bind(port: int, address: str = LOOPBACK) -> bool:
    """Say whether nobody listens on a port of an address, so that a service could."""
    with socket.socket() as probe:
        # Without this a port whose last connections are in TIME_WAIT looks taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
