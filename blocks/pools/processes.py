"""The process pool seen from outside: which processes of this machine belong to which attempt, and their end.

Every process of a script's tree carries EMF_ATTEMPT in its environment, and keeps it when it leaves its group. Whose
attempt that is, where several platforms share a machine, says EMF_HOME in the environment of a run and of what it
installs with; a script, which does not know of it, has its folders below the platform's.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "EMF_ATTEMPT"
PLATFORM = "EMF_HOME"
PART = "EMF_PART"
PLACES = ("HOME", "TMPDIR", "EM_MODEL_DIR", "VIRTUAL_ENV")  # of a script, or of what installs for one
TERM_SECONDS = 30
KILL_SECONDS = 10


def running(home: Path | None = None) -> dict[str, list[psutil.Process]]:
    """Return every attempt that has live processes here: of the platform in that folder, or of any (None)."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            attempt = environ.get(MARK)
            is_wanted = attempt and (home is None or is_of(home, attempt, environ, process.cwd))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if attempt and is_wanted:
            found.setdefault(attempt, []).append(process)
    return found


def has_part(home: Path, part: str) -> bool:
    """Say whether a part of the platform in `home` (`prefect`, `mlflow`, …) runs on this machine.

    What answers at its address may be another platform's: those that are not up at once may have the same ports.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environ = process.environ()
            told = environ.get(PLATFORM)
            if environ.get(PART) == part and told and os.path.realpath(told) == os.path.realpath(home):
                return True
    return False


def is_of(home: Path, attempt_id: str, environ: Mapping[str, str], cwd: Callable[[], str]) -> bool:
    """Say whether a process with this environment and working directory is of an attempt of the platform in `home`.

    A place must lie in that very attempt's folder: a script may itself start a platform below it.
    """
    if told := environ.get(PLATFORM):
        return os.path.realpath(told) == os.path.realpath(home)
    own = home / "work" / attempt_id
    return any(_lies_below(environ[name], own) for name in PLACES if environ.get(name)) or _lies_below(cwd(), own)


def _lies_below(path: str, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def end(attempt_ids: Collection[str], home: Path, grace_seconds: float = TERM_SECONDS) -> set[str]:
    """End what is left of attempts of one platform: SIGTERM, one grace for all, SIGKILL.

    Returns those of them that have processes even then.
    """

    def left() -> list[psutil.Process]:
        alive = running(home)
        return [process for attempt_id in attempt_ids for process in alive.get(attempt_id, [])]

    end_all(left(), grace_seconds, left)
    return set(attempt_ids) & running(home).keys()


def end_all(
    processes: Sequence[psutil.Process],
    grace_seconds: float,
    appeared: Callable[[], Sequence[psutil.Process]] = lambda: [],
) -> None:
    """End processes: SIGTERM, a grace, SIGKILL; the last also for those that `appeared` in that time."""
    for process in processes:
        _signal(process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=grace_seconds)
    alive = appeared() or alive
    for process in alive:
        _signal(process.kill)
    psutil.wait_procs(alive, timeout=KILL_SECONDS)


def _signal(send: Callable[[], None]) -> None:
    with suppress(psutil.Error):  # it has just ended
        send()
