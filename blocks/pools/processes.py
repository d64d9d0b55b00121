"""The process pool seen from outside: which processes of this machine belong to which attempt, and their end.

Every process of a script's tree carries EMF_ATTEMPT in its environment, and keeps it when it leaves its group.
"""

from collections.abc import Iterable

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
    _signal(processes, "terminate")
    _, alive = psutil.wait_procs(processes, timeout=grace_seconds)
    # Those that appeared meanwhile are found by the mark as well.
    alive = running().get(attempt_id, []) or alive
    _signal(alive, "kill")
    psutil.wait_procs(alive, timeout=KILL_SECONDS)
    return len(processes)


def _signal(processes: Iterable[psutil.Process], how: str) -> None:
    for process in processes:
        try:
            getattr(process, how)()
        except psutil.NoSuchProcess:
            continue
