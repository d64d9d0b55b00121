"""What a service is and what a host can say about one: the words that every implementation shares."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from blocks.hosts.errors import BadService

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_STOP = 300  # seconds
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class State(StrEnum):
    """What a host sees of one service; health is another question."""

    RUNNING = "RUNNING"
    STARTING = "STARTING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    ABSENT = "ABSENT"


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a service. `since` (UTC) is when it started or, if it no longer runs, when it ended."""

    state: State
    pid: int | None = None
    since: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A process that should stay up.

    Attributes:
        name: lower-case letters, digits and inner hyphens, at most 63: made from an id, never from what a user typed.
        command: argv; the program is looked for in PATH. Arguments can be read by every user of the machine.
        environment: what the process sees beside the host's allow-list; the place for secrets.
        port: where it listens on loopback, None if nowhere.
        health_path: what answers 2xx once it is healthy; None: that the port accepts is enough.
        folder: its working folder, None for the host's choice.
        stop_seconds: from SIGTERM to SIGKILL, both to its process group; at most 300.
        restart: whether it is started again when it ends with a failure.

    Raises:
        BadService: a field is not as said above.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port: int | None = None
    health_path: str | None = None
    folder: Path | None = None
    stop_seconds: int = 10
    restart: bool = True

    def __post_init__(self) -> None:
        checked_name(self.name)
        if not self.command or not self.command[0]:
            raise BadService(f"Service {self.name}: the command is empty; it needs a program and its arguments.")
        if any("\0" in text for text in (*self.command, *self.environment.values())):
            raise BadService(f"Service {self.name}: its command or environment holds a NUL byte, which none can.")
        for variable in self.environment:
            if not VARIABLE.fullmatch(variable):
                raise BadService(f"Service {self.name}: {variable!r} is no name of an environment variable.")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise BadService(f"Service {self.name}: port {self.port} is not between 1 and 65535.")
        if self.health_path is not None and (self.port is None or not self.health_path.startswith("/")):
            raise BadService(f"Service {self.name}: health path {self.health_path!r} needs a port and a leading '/'.")
        if self.folder is not None and not self.folder.is_absolute():
            raise BadService(f"Service {self.name}: folder {str(self.folder)!r} is not absolute.")
        if not 0 <= self.stop_seconds <= LONGEST_STOP:
            raise BadService(
                f"Service {self.name}: stop_seconds {self.stop_seconds} is not between 0 and {LONGEST_STOP}."
            )


class Host(Protocol):
    """Something on which services stay up. Every verb can be repeated; all raise `HostAway` if it does not answer."""

    def apply(self, service: Service) -> None:
        """Make it so: start, replace if changed, start again if it had ended; returns before it is healthy."""
        ...

    def observe(self, name: str) -> Observed:
        """Look at one service; one that the host does not know is ABSENT."""
        ...

    def healthy(self, service: Service, within: float = 2.0) -> bool:
        """Say whether it answers as healthy, in at most `within` seconds."""
        ...

    def delete(self, name: str) -> None:
        """Stop it and forget it; returns when its process is gone. Nothing to do is fine."""
        ...

    def names(self) -> set[str]:
        """Return the services that this host was told of."""
        ...


def checked_name(name: str) -> str:
    """Return a service's name if it may be one.

    Raises:
        BadService: it holds anything but lower-case letters, digits and inner hyphens, or more than 63 of them.
    """
    if not NAME.fullmatch(name):
        raise BadService(f"{name!r} is no service name: lower-case letters, digits and inner hyphens, at most 63.")
    return name
