"""Whether the ports of the parts are free, and who holds those that are not."""

from collections.abc import Iterable

import psutil

from blocks.hosts.loopback import can_bind
from blocks.settings import Settings
from deployments.one_machine.errors import PortTaken
from deployments.one_machine.parts import Part


def check(parts: Iterable[Part], settings: Settings) -> None:
    """See that every part can listen where its settings say.

    Raises:
        PortTaken: every fault in one message, each with the port, the part, the holder and what to do.
    """
    faults: list[str] = []
    for part in parts:
        if not part.port:
            continue
        port: int = getattr(settings.ports, part.port)
        if not can_bind(port):
            faults.append(taken(port, part.name, holder(port)))
    if faults:
        file = settings.home / "settings.yaml"
        raise PortTaken("\n".join([*faults, f"Ports are set in {file}, or by EMF_PORT_<PART> in the environment."]))


def taken(port: int, part: str, holder: str) -> str:
    """Return what the operator reads about one port."""
    return (
        f"Port {port}, where {part} listens, is taken by {holder}. End that, or give {part} another one: "
        f"`ports: {{{part}: {port + 1000 if port < 64000 else port - 1000}}}`."
    )


def holder(port: int) -> str:
    """Return who listens on a port, as well as this user may know it."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            try:
                process = psutil.Process(connection.pid) if connection.pid else None
                if process:
                    return f"process {process.pid} ({' '.join(process.cmdline())[:200] or process.name()})"
            except psutil.Error:
                break
    return "a process of another user"
