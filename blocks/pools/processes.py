"""The process pool seen from outside: which processes of this machine belong to which attempt, and their end.

Every process of a script's tree carries EMF_ATTEMPT in its environment, and keeps it when it leaves its group.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil

MARK = "EMF_ATTEMPT"
TERM_SECONDS = 30
KILL_SECONDS = 10


def running() -> dict[str, list[psutil.Process]]:
    """Return every attempt that has live processes here."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            attempt = process.environ().get(MARK)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if attempt:
            found.setdefault(attempt, []).append(process)
    return found


def end(attempt_id: str, grace_seconds: float = TERM_SECONDS) -> int:
    """End what is left of an attempt: SIGTERM, a grace, SIGKILL. Returns how many processes there were."""
    processes = running().get(attempt_id, [])
    end_all(processes, grace_seconds, lambda: running().get(attempt_id, []))
    return len(processes)


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
