"""The processes of one attempt's script: found by their mark and by descent, and ended.

The process group is no help: torchrun's workers leave it, a daemon leaves the session, and the group that the
platform's own processes share must never be signalled. A child may clear its environment, so descendants count as well;
the launcher is their subreaper, so those whose parent died are its children.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from . import proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .proc import Process

RESCAN_SECONDS = 0.01
CHASES = 50

Identity = tuple[int, int]  # number and start: a number alone may be somebody else's by now


def identity(process: Process) -> Identity:
    """Return what tells this process from every other one since boot."""
    return process.pid, process.started


def ancestors(pid: int, parents: dict[int, int]) -> frozenset[int]:
    """Return the numbers of a process and of everything above it."""
    line: set[int] = set()
    while pid and pid not in line:
        line.add(pid)
        pid = parents.get(pid, 0)
    return frozenset(line)


def members(
    processes: Iterable[Process],
    root: int,
    known: frozenset[Identity] | set[Identity],
    is_marked: Callable[[int], bool],
) -> list[Process]:
    """Return the living processes that belong to the tree under `root`, which itself and its ancestors never do.

    A process belongs that was known before, carries the mark, or has a parent that belongs (the root is such a parent).
    """
    table = {process.pid: process for process in processes}
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    spared = ancestors(root, {process.pid: process.parent for process in table.values()})
    reached: set[int] = set()

    def spread(pid: int) -> None:
        """Reach a process and everything below it."""
        queue = [pid]
        while queue:
            current = queue.pop()
            if current not in reached:
                reached.add(current)
                queue += [child for child in children.get(current, []) if child not in spared]

    spread(root)
    for process in table.values():
        if process.pid in reached or process.pid in spared:
            continue
        if identity(process) in known or is_marked(process.pid):
            spread(process.pid)
    return [
        process for process in table.values() if process.pid in reached and process.pid not in spared and process.alive
    ]


class Tree:
    """One script's processes, as this process sees them now and has seen them before."""

    def __init__(self, marks: frozenset[bytes]) -> None:
        """Watch for processes that carry every one of the marks, each `NAME=value`."""
        self._marks = marks
        self._known: set[Identity] = set()
        self.latest: list[Process] = []
        self.killed: set[Identity] = set()

    def scan(self) -> list[Process]:
        """Look at every process of the machine and return those that belong to the script and live."""
        seen = [process for process in map(proc.process, proc.pids()) if process]
        self.latest = members(seen, os.getpid(), self._known, lambda pid: proc.marked(pid, self._marks))
        self._known = {identity(process) for process in self.latest}
        return self.latest

    def rss_bytes(self) -> int:
        """Return a quick first estimate of the memory: what the processes of the latest scan have resident."""
        return sum(proc.rss_bytes(process.pid) for process in self.latest)

    def send(self, number: int, told: set[Identity]) -> None:
        """Send a signal to each process that has not been told yet, and note that it has."""
        for process in self.scan():
            if identity(process) not in told:
                told.add(identity(process))
                deliver(process, number)

    def halt_known(self) -> None:
        """Stop (SIGSTOP) what the latest scan found: a scan takes its time, and these are most."""
        for process in self.latest:
            deliver(process, signal.SIGSTOP)

    def halt(self) -> int:
        """Stop those that run; returns how many did. Until none does, each may have started another meanwhile."""
        running = [process for process in self.scan() if process.state not in proc.STOPPED]
        for process in running:
            deliver(process, signal.SIGSTOP)
        return len(running)

    def resume(self) -> None:
        """Let all run again."""
        for process in self.scan():
            deliver(process, signal.SIGCONT)

    def kill(self, deadline: float, reap: Callable[[], None]) -> int:
        """Kill until a scan finds none or the (monotonic) deadline passes; return how many still live then."""
        while True:
            reap()
            found = self.scan()
            for process in found:
                self._kill_one(process)
            if not found or time.monotonic() > deadline:
                return len(found)
            self._chase()
            time.sleep(RESCAN_SECONDS)

    def _chase(self) -> None:
        """Kill those whose parent just died, as they come: one that forks and exits is ahead of every scan."""
        for _ in range(CHASES):
            for pid in proc.children(os.getpid()):
                process = proc.process(pid)  # our own children: a number is not given away before we reap it
                if process and process.alive:
                    self._kill_one(process)

    def _kill_one(self, process: Process) -> None:
        self.killed.add(identity(process))
        deliver(process, signal.SIGKILL)


def deliver(process: Process, number: int) -> None:
    """Send a signal to exactly this process: nothing happens if it has ended, or another has its number by now."""
    now = proc.process(process.pid)
    if now and identity(now) == identity(process) and now.alive:
        try:
            os.kill(process.pid, number)
        except OSError:  # it has just ended, or became somebody else's (setuid)
            return
