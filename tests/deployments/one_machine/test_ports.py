"""Who holds a port that a part needs."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.settings import LOOPBACK, Ports, Settings
from deployments.one_machine import ports, start
from deployments.one_machine.errors import PortTaken
from deployments.one_machine.parts import all_parts
from deployments.one_machine.supervisor import Supervisor
from tests.conftest import Silent, free_ports


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose ports are all free."""
    chosen = {name.removeprefix("EMF_PORT_").lower(): int(port) for name, port in free_ports().items()}
    return Settings(home=tmp_path / "home", ports=Ports(**chosen))


@pytest.fixture
def mlflows_port_taken(settings: Settings) -> Iterator[int]:
    """MLflow's port, on which this process listens."""
    with socket.create_server((LOOPBACK, settings.ports.mlflow)):
        yield settings.ports.mlflow


def test_free_ports_are_no_fault(settings: Settings) -> None:
    """Nothing is said where every part can listen."""
    ports.check(all_parts(settings), settings)


def test_a_taken_port_is_told_with_part_holder_and_remedy(settings: Settings, mlflows_port_taken: int) -> None:
    """The message has the port, the part, the holder's pid and command, and both ways to choose another."""
    with pytest.raises(PortTaken) as fault:
        ports.check(all_parts(settings), settings)
    for words in (f"Port {mlflows_port_taken}", "mlflow", f"process {os.getpid()} (", "settings.yaml", "EMF_PORT_"):
        assert words in str(fault.value)


def test_up_starts_nothing_where_a_port_is_taken(settings: Settings, mlflows_port_taken: int) -> None:
    """`emf up` refuses before supervisord is there."""
    with pytest.raises(PortTaken, match=str(mlflows_port_taken)):
        start.up(settings, Silent())
    assert Supervisor(settings.home).wait_for_programs(Silent().waiting) is None
