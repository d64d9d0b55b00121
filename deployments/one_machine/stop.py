"""`emf down`: every part ended in the order that loses nothing, and a look whether anything is left."""

import time
from collections.abc import Iterable
from contextlib import suppress

from blocks.hosts.errors import HostAway
from blocks.platform import Platform
from blocks.settings import Settings
from deployments.one_machine import folders, marks
from deployments.one_machine.errors import StillRunning, SupervisordSilent
from deployments.one_machine.parts import all_parts
from deployments.one_machine.start import LOCK_SECONDS, Show, leftover_grace
from deployments.one_machine.supervisor import Supervisor

SUSPEND_SECONDS = 120.0
MARGIN = 20.0  # seconds on top of a part's own time to end: supervisord kills it before we give up


def down(settings: Settings, show: Show) -> bool:
    """End the whole platform; return whether anything ran.

    Raises:
        StillRunning: processes of the platform that could not be ended, each named.
    """
    if not (settings.home / "supervisor").is_dir():
        return False
    with folders.lock(settings.home, LOCK_SECONDS):
        supervisor = Supervisor(settings.home)
        running = marks.parts(settings.home)
        if running:
            show.note("Running: " + ", ".join(sorted(running)))
        if "controller" in running:  # through it trainings learn what is wished, whether or not supervisord answers
            suspend_work(settings, show)
        try:
            ran = _stop_parts(supervisor, settings, show)
        except SupervisordSilent as silent:
            show.note(f"{silent} What runs is ended without it.")
            ran = True
        left = marks.find(settings.home)
        if left:
            show.note("Ending what was left running: " + ", ".join(map(marks.describe, left)))
        if left and (survivors := marks.end(settings.home, leftover_grace(settings))):
            raise StillRunning("Could not be ended: " + ", ".join(map(marks.describe, survivors)))
        return ran or bool(left)


def _stop_parts(supervisor: Supervisor, settings: Settings, show: Show) -> bool:
    """Have supervisord end every part in order, then itself; return whether there is one.

    Raises:
        SupervisordSilent: it is there, and does not answer.
    """
    programs = supervisor.wait_for_programs(show.waiting)
    if programs is None:
        return False
    for names, seconds in stages(settings, [name for name, program in programs.items() if program.pid]):
        _stop(supervisor, names, seconds, show)
    supervisor.shutdown()
    _wait_gone(settings)
    return True


def suspend_work(settings: Settings, show: Show) -> None:
    """Name the trainings that run, and have them save what they have; they go on after the next `emf up`."""
    left: list[str] = []
    try:
        from flows.training import suspend

        platform = Platform(settings)
        for training in suspend.running(platform):
            show.note(f"Pausing {training}")
        left = suspend.suspend_all(platform, SUSPEND_SECONDS, show.waiting)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with records or code, `down` ends the platform
        show.note(f"The trainings could not be asked to pause: {error!r}")
    for training in left:
        show.note(f"Did not pause within {SUSPEND_SECONDS:.0f} s and is ended: {training}")


def stages(settings: Settings, running: Iterable[str]) -> list[tuple[list[str], float]]:
    """Return what is stopped together, first to last, and the seconds it may take.

    Workers and services first, while those whom they report to still listen; then the controller; then the servers.
    """
    parts = {part.name: part for part in all_parts(settings)}
    running = list(running)
    servers = {name for name, part in parts.items() if part.stage == 0}
    last_but_one = {"controller"}
    groups = (
        [name for name in running if name not in servers | last_but_one],
        [name for name in running if name in last_but_one],
        [name for name in running if name in servers],
    )
    return [
        (group, max(parts[name].stop_seconds if name in parts else 30 for name in group) + MARGIN)
        for group in groups
        if group
    ]


def _stop(supervisor: Supervisor, names: list[str], seconds: float, show: Show) -> None:
    """Have these parts end, and wait for them; one whose order did not reach a busy supervisord is told again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        programs = supervisor.wait_for_programs(show.waiting) or {}
        alive = [name for name in names if name in programs and programs[name].pid]
        if not alive:
            return
        for name in alive:
            if programs[name].state != "STOPPING":
                with suppress(HostAway):
                    supervisor.stop(name)
        show.waiting(alive)
        time.sleep(0.1)


def _wait_gone(settings: Settings) -> None:
    """Give supervisord the moment that it needs to end itself; what then is left is ended by its mark."""
    deadline = time.monotonic() + MARGIN
    while time.monotonic() < deadline and marks.find(settings.home):
        time.sleep(0.1)
