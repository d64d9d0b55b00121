"""How a script that must end is ended: which signal is due, to whom, at which moment. Pure.

The main process hears SIGTERM first and alone: it may need its children to save a checkpoint (a PyTorch script whose
data-loading workers are terminated under it fails), and torchrun tells its workers itself. Everyone else hears it as
soon as the main process is gone, and in any case before the grace is over. What still lives then is killed.
"""

from __future__ import annotations

from dataclasses import dataclass

MEMORY_GRACE_SECONDS = 2.0
LEFTOVER_GRACE_SECONDS = 2.0
LAST_CALL_SECONDS = 5.0  # what those who hear SIGTERM last have at most


@dataclass(frozen=True)
class Ending:
    """Why and since when (monotonic seconds) a script is being ended, and how long it may take."""

    cause: str
    began: float
    grace_seconds: float
    everyone_at_once: bool = False

    @property
    def kill_at(self) -> float:
        """The moment from which whatever lives is killed."""
        return self.began + self.grace_seconds

    def due(self, now: float, main_lives: bool) -> str:
        """Say what is due: `main` (SIGTERM to the main process), `all` (to everyone), `kill`."""
        if now >= self.kill_at:
            return "kill"
        last_call = self.kill_at - min(LAST_CALL_SECONDS, self.grace_seconds / 2)
        if self.everyone_at_once or not main_lives or now >= last_call:
            return "all"
        return "main"


def cause_of(stop_wanted: bool, parent_lives: bool, now: float, deadline: float, memory: str) -> str:
    """Say why a running script must end now; empty if it may go on. A deadline of 0 is none.

    Memory goes first, for the machine's sake; a wish to stop goes before the clock.
    """
    if memory != "within":
        return "memory"
    if not parent_lives:
        return "orphaned"
    if stop_wanted:
        return "stopped"
    return "deadline" if deadline and now >= deadline else ""
