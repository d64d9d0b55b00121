"""Who can be killed while a training runs, how each is found, and what a person does about it."""

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import psutil

from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.runs import Runs
from blocks.records import attempt as verbs
from deployments.one_machine import marks
from deployments.one_machine.supervisor import Supervisor
from tests.platform.deadlines import within
from tests.platform.terminal import emf

AWAY_SECONDS = 60.0
OFTEN, SELDOM, RARE = ("script", "launcher", "run"), ("worker-process",), ("prefect", "supervisor", "everything")
PLATFORM_GONE = ("supervisor", "everything")


def plan(kills: int, source: random.Random) -> list[str]:
    """Return whom to kill, in a random order: mostly script, launcher and run; the platform's parts now and then."""
    rare = max(1, kills // 40)
    chosen = [victim for victim in RARE for _ in range(rare)] + [SELDOM[0]] * (2 * rare)
    chosen = chosen[:kills] + [OFTEN[n % len(OFTEN)] for n in range(max(0, kills - len(chosen)))]
    source.shuffle(chosen)
    return chosen


def _all() -> Iterator[tuple[psutil.Process, dict[str, str], list[str]]]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            yield process, process.environ(), process.cmdline()


def find(victim: str, here: Platform, training_id: str) -> list[psutil.Process]:
    """Return the processes that are meant, of this platform and this training alone."""
    if victim == "everything":
        return marks.find(here.settings.home)
    if victim in ("script", "launcher"):
        scripts = [
            process
            for process, environ, _ in _all()
            if environ.get("EM_TRAINING_ID") == training_id and environ.get("EMF_INSTANCE")
        ]
        if victim == "script":
            return scripts
        parents = {parent for script in scripts if (parent := _parent(script)) is not None}
        return [parent for parent in parents if "launcher/__main__.py" in " ".join(parent.cmdline())]
    if victim == "run":
        attempt = _attempt(here, training_id)
        return [
            process
            for process, environ, _ in _all()
            if attempt and environ.get(processes.MARK) == attempt and environ.get("PREFECT__FLOW_RUN_ID")
        ]
    home = str(here.settings.home)
    parts = [p for p, environ, _ in _all() if environ.get("EMF_PART") == victim and environ.get("EMF_HOME") == home]
    inside = {p.pid for p in parts}
    return [p for p in parts if (parent := _parent(p)) is None or parent.pid not in inside]  # not what it has started


def _parent(process: psutil.Process) -> psutil.Process | None:
    with suppress(psutil.Error):
        return process.parent()
    return None


def _attempt(here: Platform, training_id: str) -> str:
    with here.records.reading() as session:
        return next((row.id for row in verbs.open_attempts(session) if row.training_id == training_id), "")


def kill(victim: str, here: Platform, training_id: str) -> bool:
    """SIGKILL all that are meant; returns whether there was anybody."""
    found = find(victim, here, training_id)
    if victim == "prefect" and found:
        Supervisor(here.settings.home).stop("prefect")  # or it would be there again within a second
    for process in found:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, timeout=20)
    return bool(found)


def mend(victim: str, here: Platform) -> None:
    """Do what a person, or supervisord, does then."""
    if victim == "prefect":
        time.sleep(AWAY_SECONDS)
        Supervisor(here.settings.home).start("prefect")
    elif victim in PLATFORM_GONE:
        emf("up")


def left_over(here: Platform) -> dict[str, Sequence[str]]:
    """Return what is still held when nothing should run any more: processes, leases, runs, folders."""
    home = here.settings.home
    mine = {process.pid for process in marks.find(home)}
    alive = [f"{process.pid}: {environ.get(processes.MARK)}" for process, environ, _ in _all() if process.pid in mine]
    alive = [one for one in alive if not one.endswith("None")]
    with here.records.reading() as session:
        leases = [row.id for row in verbs.open_attempts(session)]
    runs = [f"{run.flow_run_id}: {run.state}" for page in Runs().unfinished() for run in page]
    folders = [folder.name for folder in (home / "work").iterdir()]
    found = {"processes": alive, "leases": leases, "runs": runs, "folders": folders}
    return {kind: there for kind, there in found.items() if there}


def wait_for(what: str, true: Callable[[], object], seconds: float = 240) -> None:
    within(seconds, true, what)


def number(name: str, default: int) -> int:
    """Return a number that the environment may give."""
    return int(os.environ.get(name) or default)
