"""A private supervisord for this room's tests, which knows nothing but where services are."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.hosts.supervisord import Supervisord, socket_path

CONFIGURATION = """
[supervisord]
nodaemon=true
logfile=%(here)s/supervisord.log
pidfile=%(here)s/supervisord.pid
[unix_http_server]
file={socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files = services/*.conf
"""


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix='emf \'s "home" ') as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def supervisord(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    folder = home / "supervisor"
    (folder / "services").mkdir(parents=True)
    configuration = folder / "supervisord.conf"
    configuration.write_text(CONFIGURATION.format(socket=socket_path(home)))
    environment = {"PATH": os.environ["PATH"], "EMF_ANOTHER_SECRET": "nobody's business"}
    command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(configuration)]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    deadline = time.monotonic() + 30
    while not socket_path(home).exists():
        assert process.poll() is None, (folder / "output").read_text()
        assert time.monotonic() < deadline, "supervisord made no socket in 30 s"
        time.sleep(0.05)
    yield process
    process.terminate()
    process.wait(30)


@pytest.fixture
def host(home: Path, supervisord: subprocess.Popen[bytes]) -> Iterator[Supervisord]:
    host = Supervisord(home)
    yield host
    for name in host.names():
        host.delete(name)
