"""The one supervisord of a platform: start it, ask it, tell it."""

import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blocks.hosts import rpc
from blocks.hosts.errors import HostAway
from blocks.hosts.supervisord import socket_path
from deployments.one_machine import marks
from deployments.one_machine.errors import CannotStart, PartFailed, SupervisordSilent

NAME = "supervisor"  # its own EMF_PART
START_SECONDS = 30
ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """What supervisord says of one program: `state` is its word, times are seconds since the epoch."""

    name: str
    state: str
    pid: int
    start: int
    now: int
    detail: str


class Supervisor:
    """The supervisord whose folder is `home/supervisor`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.conf = home / "supervisor" / "supervisord.conf"

    def spawn(self, conf: str, environment: Mapping[str, str]) -> None:
        """Write the configuration and start supervisord with exactly this environment; it is a daemon of its own.

        Raises:
            CannotStart: with supervisord's own words, or that it was too slow.
        """
        self.conf.unlink(missing_ok=True)
        self.conf.touch(0o600)
        self.conf.write_text(conf, encoding="utf-8")
        socket_path(self.home).unlink(missing_ok=True)
        done = self._run([sys.executable, "-m", "supervisor.supervisord", "-c", str(self.conf)], environment)
        if done.returncode:
            raise CannotStart(f"supervisord did not start: {(done.stderr + done.stdout).strip()[-1000:]}")

    def _run(self, command: list[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CannotStart(
                f"supervisord did not start within {START_SECONDS} s; is the machine very busy? Its log is "
                f"{self.conf.with_name('supervisord.log')}. `emf up` again ends what is left of it and goes on."
            ) from error

    def runs_with(self, conf: str) -> bool:
        """Say whether this is the configuration it was started with."""
        return self.conf.exists() and self.conf.read_text(encoding="utf-8") == conf

    def programs(self) -> dict[str, Program]:
        """Return every program by name, parts and services; asks once.

        Raises:
            HostAway: supervisord did not answer in five seconds: it is gone, going or busy.
        """
        infos: list[dict[str, Any]] = self._call("getAllProcessInfo", within=5)
        return {
            info["name"]: Program(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                start=info["start"],
                now=info["now"],
                detail=info["spawnerr"],
            )
            for info in infos
        }

    def wait_for_programs(
        self, waiting: Callable[[list[str]], None], wanted: Collection[str] = ()
    ) -> dict[str, Program] | None:
        """Return every program, asking until supervisord has told of all those wanted; None where none is there.

        On a busy machine it is busy: that it does not answer once does not mean that nothing runs.

        Raises:
            SupervisordSilent: its process is there, and it did not in time.
        """
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                programs = self.programs()
                if set(wanted) <= programs.keys():
                    return programs
            except HostAway:
                if NAME not in marks.parts(self.home):
                    return None
            if time.monotonic() > deadline:
                raise SupervisordSilent(
                    f"supervisord has not told of all parts for {ANSWER_SECONDS:.0f} s. Its log is "
                    f"{self.conf.with_name('supervisord.log')}; `emf down`, then `emf up` starts it anew."
                )
            waiting(["supervisord"])
            time.sleep(0.2)

    def start(self, name: str) -> None:
        """Have a program started; it may already be.

        Raises:
            PartFailed: supervisord cannot start it.
        """
        try:
            self._call("startProcess", name, False)
        except rpc.Refused as refusal:
            if refusal.code != rpc.Fault.ALREADY_STARTED:
                raise PartFailed(f"supervisord did not start {name}: {refusal}") from refusal

    def stop(self, name: str) -> None:
        """Have a program told to end, without waiting; one that has ended, or is gone, is fine."""
        try:
            self._call("stopProcess", name, False)
        except rpc.Refused as refusal:
            if refusal.code not in (rpc.Fault.NOT_RUNNING, rpc.Fault.BAD_NAME):
                raise PartFailed(f"supervisord did not stop {name}: {refusal}") from refusal

    def shutdown(self) -> None:
        """Have supervisord end itself; one that is already gone is fine."""
        with suppress(HostAway):
            self._call("shutdown")

    def _call(self, method: str, *arguments: str | bool, within: float = 10.0) -> Any:
        return rpc.call(socket_path(self.home), method, *arguments, within=within)
