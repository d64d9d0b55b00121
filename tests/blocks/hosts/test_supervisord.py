"""Services on a real supervisord."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from blocks.hosts.errors import BadService, HostAway
from blocks.hosts.loopback import free_port
from blocks.hosts.program import log_file
from blocks.hosts.service import Service, State
from blocks.hosts.supervisord import Supervisord, socket_path

PYTHON = sys.executable
SLEEP = Service("sleeper", [PYTHON, "-c", "import time; time.sleep(600)"], {}, stop_seconds=2)
TELL = "import json, os, sys, time; json.dump([sys.argv[1:], dict(os.environ)], open('told.tmp', 'w')); "
TELL += "os.rename('told.tmp', 'told.json'); time.sleep(600)"


def wait(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def running(host: Supervisord, name: str) -> int:
    wait(lambda: host.observe(name).state is State.RUNNING)
    pid = host.observe(name).pid
    assert pid
    return pid


def test_life_of_a_service(host: Supervisord) -> None:
    """From ABSENT to RUNNING, with a pid and a time, and back, its process gone; delete can be repeated."""
    assert host.observe("sleeper").state is State.ABSENT
    host.apply(SLEEP)
    pid = running(host, "sleeper")
    observed = host.observe("sleeper")
    assert observed.since
    assert abs(observed.since.timestamp() - time.time()) < 30
    assert host.names() == {"sleeper"}
    host.delete("sleeper")
    assert not alive(pid)
    assert host.observe("sleeper").state is State.ABSENT
    assert host.names() == set()
    host.delete("sleeper")


def test_apply_again(host: Supervisord) -> None:
    """Applying the same service leaves its process alone; a changed one is replaced; one that ended starts again."""
    host.apply(SLEEP)
    first = running(host, "sleeper")
    host.apply(SLEEP)
    assert running(host, "sleeper") == first
    host.apply(replace(SLEEP, environment={"ANOTHER": "value"}))
    assert not alive(first)
    assert running(host, "sleeper") != first
    once = replace(SLEEP, name="once", command=["true"])
    host.apply(once)
    wait(lambda: host.observe("once").state not in (State.STARTING, State.RUNNING))
    ended = host.observe("once").since
    time.sleep(1.1)
    host.apply(once)
    wait(lambda: host.observe("once").since != ended)


def test_replaced_although_the_first_apply_died(host: Supervisord, home: Path) -> None:
    """A changed file whose writer died before supervisord was told is taken up by the next apply."""
    host.apply(SLEEP)
    first = running(host, "sleeper")
    file = home / "supervisor" / "services" / "sleeper.conf"
    host.apply(changed := replace(SLEEP, environment={"A": "1"}))
    second, text = running(host, "sleeper"), file.read_text()
    host.apply(SLEEP)
    third = running(host, "sleeper")
    file.write_text(text)
    host.apply(changed)
    assert len({first, second, third, running(host, "sleeper")}) == 4


def test_environment_and_arguments_arrive(host: Supervisord, tmp_path: Path) -> None:
    """Arguments and values arrive byte for byte, nothing else of supervisord's environment does, and files are 0600."""
    hard = "100% %(here)s ;no comment # ' \" \\ , = \n\t new line 한글 \u2028 $HOME ${X} `x`"
    host.apply(Service("hard", [PYTHON, "-c", TELL, hard, ""], {"HARD": hard, "EMPTY": ""}, folder=tmp_path))
    wait((tmp_path / "told.json").exists)
    arguments, environment = json.loads((tmp_path / "told.json").read_text())
    assert arguments == [hard, ""]
    assert environment["HARD"] == hard
    home = host._home
    expected = {"HARD", "EMPTY", "EMF_HOME", "EMF_PART", "PATH", "LC_CTYPE"}
    assert set(environment) <= expected
    assert (environment["EMF_HOME"], environment["EMF_PART"]) == (str(home), "hard")
    assert (home / "supervisor" / "services" / "hard.conf").stat().st_mode & 0o777 == 0o600


def test_a_service_that_cannot_start(host: Supervisord) -> None:
    """A program that does not exist is FAILED in the end, and the detail says why in the words of its log."""
    host.apply(Service("lost", ["/no/such/program"], {}, restart=False))
    wait(lambda: host.observe("lost").state is State.FAILED)
    assert "Cannot start '/no/such/program'" in host.observe("lost").detail
    assert "No such file" in host.observe("lost").detail


def test_restart(host: Supervisord) -> None:
    """A service that dies is started again if it should be, and is FAILED with its code if not."""
    host.apply(SLEEP)
    first = running(host, "sleeper")
    os.kill(first, 9)
    wait(lambda: host.observe("sleeper").pid not in (first, None))
    fragile = Service("fragile", [PYTHON, "-c", "import time; time.sleep(1.5); raise SystemExit(3)"], {}, restart=False)
    host.apply(fragile)
    wait(lambda: host.observe("fragile").state is State.FAILED)
    assert "exit code 3" in host.observe("fragile").detail


def test_children_end_too(host: Supervisord, tmp_path: Path) -> None:
    """Deleting ends what the service has started, even if both ignore SIGTERM."""
    stubborn = (
        "trap '' TERM; (trap '' TERM; echo $BASHPID > child.tmp; mv child.tmp child; sleep 600) & wait; sleep 600"
    )
    host.apply(Service("stubborn", ["bash", "-c", stubborn], {}, folder=tmp_path, stop_seconds=1))
    wait((tmp_path / "child").exists)
    pids = [running(host, "stubborn"), int((tmp_path / "child").read_text())]
    host.delete("stubborn")
    wait(lambda: not any(alive(pid) for pid in pids))


def test_health(host: Supervisord, tmp_path: Path) -> None:
    """Healthy is: it answers 2xx at its path; 404, a silent server and nobody at all are not, within the deadline."""
    port = free_port(20000 + os.getpid() % 20000, 100)
    server = Service("web", [PYTHON, "-m", "http.server", "--bind", "127.0.0.1", str(port)], {}, port, "/", tmp_path)
    assert not host.healthy(server)
    host.apply(server)
    wait(lambda: host.healthy(server))
    assert host.healthy(replace(server, health_path=None))
    assert not host.healthy(replace(server, health_path="/nothing"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert not host.healthy(replace(server, port=silent.getsockname()[1]), within=0.3)
        assert time.monotonic() - began < 2


def test_log(host: Supervisord, home: Path) -> None:
    """What a service says on both streams is in its log under the platform's folder."""
    host.apply(Service("talker", ["bash", "-c", "echo out; echo err >&2; sleep 600"], {}, stop_seconds=1))
    wait(lambda: log_file(home, "talker").exists() and log_file(home, "talker").read_text() == "out\nerr\n")


def test_missing_folder(host: Supervisord) -> None:
    """A folder that does not exist is refused before anything is written."""
    with pytest.raises(BadService, match="/no/such/folder"):
        host.apply(replace(SLEEP, folder=Path("/no/such/folder")))
    assert host.names() == set()


def test_nobody_there(tmp_path: Path) -> None:
    """Without a supervisord every verb says so as HostAway."""
    host = Supervisord(tmp_path)
    for verb in (lambda: host.apply(SLEEP), lambda: host.observe("x"), lambda: host.delete("x")):
        with pytest.raises(HostAway, match="does not answer"):
            verb()


def test_one_that_does_not_answer(tmp_path: Path) -> None:
    """A supervisord that accepts and is silent is HostAway after the deadline, not a wait for ever."""
    path = socket_path(tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    from blocks.hosts import rpc

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(HostAway):
            rpc.call(path, "getState", within=0.3)
    path.unlink()


def test_files_that_cannot_be_read(host: Supervisord, home: Path) -> None:
    """If supervisord cannot read its files, apply is refused and leaves no file of its own."""
    bad = home / "supervisor" / "services" / "aa-bad.conf"
    bad.write_text("[program:bad]\nautostart=perhaps\n")
    try:
        with pytest.raises(BadService, match="cannot read"):
            host.apply(SLEEP)
        assert host.names() == {"aa-bad"}
    finally:
        bad.unlink()
