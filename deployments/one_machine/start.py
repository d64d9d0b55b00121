"""`emf up`: from whatever state the machine is in to every part running and well.

Run twice it finds nothing to do; after a crash it first ends what the last one left behind.
"""

import os
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from blocks.hosts.supervisord import socket_path
from blocks.platform import Platform
from blocks.settings import Settings
from deployments.one_machine import credentials, deploy, environment, folders, health, marks, ports, supervisord_conf
from deployments.one_machine.errors import CannotStart, PartFailed, SettingsChanged, StillRunning
from deployments.one_machine.parts import Part, all_parts
from deployments.one_machine.supervisor import NAME, Program, Supervisor
from flows.reconcile.identity import disagreement
from flows.training.suspend import resume_all

LOCK_SECONDS = 300.0
HEALTHY_SECONDS = 180.0  # a busy machine with two cores takes a minute
LEFTOVER_MARGIN = 5.0
ALIVE = {"STARTING", "RUNNING", "BACKOFF"}


class Show(Protocol):
    """Where progress is told."""

    def note(self, text: str) -> None:
        """Tell something that happened."""
        ...

    def waiting(self, what: Iterable[str]) -> None:
        """Tell what is being waited for now."""
        ...

    def ready(self, part: Part, seconds: float) -> None:
        """Tell that a part became well, so many seconds after the start."""
        ...


def up(settings: Settings, show: Show) -> bool:
    """Bring every part up; return whether anything had to be done.

    Raises:
        OneMachineError: what stands in the way, and what to do about it.
    """
    folders.prepare(settings)
    show.waiting(["another `emf up` or `emf down`"])
    with folders.lock(settings.home, LOCK_SECONDS):
        return _Start(settings, show).run()


def leftover_grace(settings: Settings) -> float:
    """Return what leftovers have between SIGTERM and SIGKILL: one may be a script that saves, as it was promised."""
    return settings.grace_seconds + LEFTOVER_MARGIN


class _Start:
    """One `up`: the parts, the supervisord, and when it began."""

    def __init__(self, settings: Settings, show: Show) -> None:
        self.settings, self.show = settings, show
        self.parts = all_parts(settings)
        self.supervisor = Supervisor(settings.home)
        self.began = time.monotonic()

    def run(self) -> bool:
        fresh = self._supervise()
        missing = {part.name for part in self.parts} if fresh else set[str]()
        missing |= self._start(stage=0)
        self._wait([part for part in self.parts if part.stage == 0], told=missing)
        deploy.ensure_pools(self.settings)
        missing |= self._start(stage=1)
        with ThreadPoolExecutor(1) as beside:
            deployed = beside.submit(deploy.deploy_flows, self.settings)
            self._wait([part for part in self.parts if part.stage], told=missing)
            self.show.waiting(["the flows' deployments"])
            if deployed.result():
                self.show.note("Deployed the flows.")
                if not fresh and "controller" not in missing:
                    self._restart_controller()
        self._know_records()
        return bool(self._resume() or missing or deployed.result())

    def _know_records(self) -> None:
        """Tell the folder whose it is, while it is empty; say so where the records are another platform's."""
        if strange := disagreement(Platform(self.settings)):
            self.show.note(f"Warning: {strange}")

    def _resume(self) -> int:
        """Have the trainings go on that a `down` paused: the platform that they waited for is there."""
        resumed = resume_all(Platform(self.settings))
        if resumed:
            self.show.note(f"{resumed} training(s) that were paused go on.")
        return resumed

    def _supervise(self) -> bool:
        """See that supervisord runs with today's configuration; return whether it had to be started."""
        secrets = credentials.ensure(self.settings)
        if records := os.environ.get("EMF_RECORDS_URL"):
            secrets["EMF_RECORDS_URL"] = records
        conf = supervisord_conf.render(self.parts, self.settings.home, environment.addresses(self.settings), secrets)
        if self.supervisor.wait_for_programs(self.show.waiting) is not None:
            if not self.supervisor.runs_with(conf):
                raise SettingsChanged(
                    "The platform runs with other settings, or another version, than it would be started with now. "
                    "`emf down`, then `emf up` brings them in."
                )
            return False
        self._clear()
        ports.check(self.parts, self.settings)
        environ = environment.process_environment(self.settings, NAME, os.environ)
        self.supervisor.spawn(conf, environ)
        return True

    def _clear(self) -> None:
        """End what a platform that died left behind."""
        if left := marks.find(self.settings.home):
            self.show.note("Ending what was left running: " + ", ".join(map(marks.describe, left)))
            if survivors := marks.end(self.settings.home, leftover_grace(self.settings)):
                raise StillRunning("Could not be ended: " + ", ".join(map(marks.describe, survivors)))
        for stale in (socket_path(self.settings.home), self.settings.home / "supervisor" / "supervisord.pid"):
            stale.unlink(missing_ok=True)

    def _start(self, stage: int) -> set[str]:
        """Have supervisord start the parts of a stage that do not run; return their names."""
        programs = self._programs()
        dead = [part for part in self.parts if part.stage == stage and programs[part.name].state not in ALIVE]
        ports.check(dead, self.settings)
        for part in dead:
            self.supervisor.start(part.name)
        return {part.name for part in dead}

    def _programs(self) -> dict[str, Program]:
        """Return every program, all parts among them.

        Raises:
            SupervisordSilent: supervisord does not tell of them in time.
            CannotStart: it has ended.
        """
        programs = self.supervisor.wait_for_programs(self.show.waiting, [part.name for part in self.parts])
        if programs is None:
            log = self.settings.home / "supervisor" / "supervisord.log"
            raise CannotStart(f"supervisord has ended; its log, {log}, may say why. `emf up` starts it anew.")
        return programs

    def _wait(self, parts: Collection[Part], told: Collection[str]) -> None:
        """Wait until the parts are well, and tell of those in `told`.

        Raises:
            PartFailed: supervisord gave one up, or the time is over; with the last lines of its log.
        """
        waiting = {part.name: part for part in parts}
        deadline = time.monotonic() + HEALTHY_SECONDS
        while True:
            programs = self._programs()
            faults = health.ask(waiting.values(), programs, self.settings)
            for name in [name for name, fault in faults.items() if not fault]:
                part = waiting.pop(name)
                if name in told:
                    self.show.ready(part, time.monotonic() - self.began)
            if not waiting:
                return
            for name in waiting:
                if programs[name].state == "FATAL":
                    raise PartFailed(self._why(name, "did not start"))
            if time.monotonic() > deadline:
                name = next(iter(waiting))
                raise PartFailed(self._why(name, f"is not well after {HEALTHY_SECONDS:.0f} s: it {faults[name]}"))
            self.show.waiting(waiting)
            time.sleep(0.2)

    def _restart_controller(self) -> None:
        """Have the controller run the code that was just deployed; workers start every run anew anyway."""
        self.supervisor.stop("controller")
        deadline = time.monotonic() + 30
        while self._programs()["controller"].pid and time.monotonic() < deadline:
            time.sleep(0.1)
        self.supervisor.start("controller")
        self._wait([part for part in self.parts if part.name == "controller"], told={"controller"})

    def _why(self, name: str, fault: str) -> str:
        file = supervisord_conf.log_file(self.settings.home, name)
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()[-15:] if file.exists() else []
        return "\n".join([f"{name} {fault}. The end of its log, {file}:", *(f"  {line}" for line in lines)])
