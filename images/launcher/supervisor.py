"""Run one script to its end, whatever that end is, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from . import proc
from .ending import LEFTOVER_GRACE_SECONDS, MEMORY_GRACE_SECONDS, Ending, cause_of
from .orders import GIVEN_UP
from .spawn import spawn
from .tree import Identity, Tree, deliver, identity
from .usage import Usage
from .waking import Waking

if TYPE_CHECKING:
    from typing import Any

    from .job import Job
    from .orders import Orders
    from .reports import Reports

TICK_SECONDS = 0.1
USAGE_SECONDS = 2.0
KILL_SECONDS = 10.0


class Supervisor:
    """One script's life, watched from beside it."""

    def __init__(self, job: Job, reports: Reports, orders: Orders) -> None:
        """Prepare to run the job; the end of its orders means that whoever wanted the script is dead."""
        self._job = job
        self._reports = reports
        self._orders = orders
        self._stop_wanted = False
        self._given_up = False
        self._tree = Tree(job.marks)
        self._usage = Usage(self._tree, job.memory_bytes)
        self._waking = Waking(self._tree, job.sleep_seconds)
        self._pid = 0
        self._status: int | None = None  # what waitpid said of the main process
        self._ending: Ending | None = None
        self._told: set[Identity] = set()
        self._deadline = 0.0
        self._wakeup = -1

    def start(self) -> None:
        """Start the script.

        Raises:
            BadJob: it cannot be started as the job says.
            OSError: the interpreter or the working folder is not there.
        """
        self._hear_signals()
        self._pid = spawn(self._job)
        if self._job.deadline_seconds:  # by the clock that the run counts by: what is held is still on its machine
            self._deadline = time.monotonic() + self._job.deadline_seconds
        self._reports.send("started", pid=self._pid)

    def run(self) -> None:
        """Watch the script to its end, end what is left of it, and report."""
        survivors = 0
        try:
            self._watch()
        finally:
            survivors = self._tree.kill(time.monotonic() + KILL_SECONDS, self._reap)
            self._reap()
            self._report_end(survivors)

    def _hear_signals(self) -> None:
        self._wakeup, waker = os.pipe()
        for end in (self._wakeup, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._want_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake the loop

    def _want_stop(self, _number: int, _frame: object) -> None:
        self._stop_wanted = True

    def _watch(self) -> None:
        """Return when the main process is gone with its tree, or when what is left must be killed."""
        next_usage = 0.0
        while True:
            self._reap()
            self._notice_sleep()
            self._obey()
            now = time.monotonic()
            self._usage.sample(now)
            if now >= next_usage:
                self._report_usage()
                next_usage = now + USAGE_SECONDS
            if self._finished(time.monotonic()):
                return
            self._wait()

    def _notice_sleep(self) -> None:
        """Hold the script where this process has slept, before it does anything more, and ask whether it may go on."""
        slept = self._waking.slept()
        if slept:
            self._reports.send("woke", question=self._waking.hold(), seconds=round(slept, 1))
        elif self._waking.held and not self._waking.keep():
            self._stop_wanted = True

    def _obey(self) -> None:
        for order in self._orders.take():
            if order == GIVEN_UP:
                self._given_up = self._stop_wanted = True
            elif self._waking.is_answer(order):
                self._waking.release()

    def _finished(self, now: float) -> bool:
        """Move the ending on; tell whether it is time to kill whatever is left (perhaps nothing)."""
        begins = not self._ending
        if not self._ending:
            self._ending = self._begin(now, self._status is None)
        if not self._ending:
            return False
        if self._carry_on(self._ending, now):
            return True
        if begins:
            self._waking.release()  # only what runs can hear the signal and save
        return False

    def _carry_on(self, ending: Ending, now: float) -> bool:
        main_lives = self._status is None
        # What a script saves whose attempt was given up does not count, and what it writes may be in another's way.
        is_over = self._given_up or self._usage.verdict == "far"
        due = "kill" if is_over else ending.due(now, main_lives)
        if due == "main":
            self._tell_main()
        elif due == "all":
            self._tree.send(signal.SIGTERM, self._told)
            return not self._tree.latest
        return due == "kill"

    def _begin(self, now: float, main_lives: bool) -> Ending | None:
        if not main_lives:
            return Ending("exit", now, LEFTOVER_GRACE_SECONDS, everyone_at_once=True)
        cause = cause_of(self._stop_wanted, self._orders.open, now, self._deadline, self._usage.verdict)
        if cause == "memory":
            return Ending(cause, now, MEMORY_GRACE_SECONDS, everyone_at_once=True)
        return Ending(cause, now, self._job.grace_seconds) if cause else None

    def _tell_main(self) -> None:
        main = proc.process(self._pid)
        if main and identity(main) not in self._told:
            self._told.add(identity(main))
            deliver(main, signal.SIGTERM)

    def _wait(self) -> None:
        """Wait for a signal, a word or the end of the run, or the next tick."""
        watched = [self._wakeup, self._orders.descriptor] if self._orders.open else [self._wakeup]
        ready, _, _ = select.select(watched, [], [], TICK_SECONDS)
        if self._wakeup in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, 65536)
        if self._orders.descriptor in ready:
            self._orders.read()

    def _reap(self) -> None:
        """Take note of every child that has ended, orphans of the script among them."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid == self._pid and self._status is None:
                    self._status = status
                    self._reports.send("exited", **self._how())  # others need not wait for what it has left

    def _report_usage(self) -> None:
        self._reports.send(
            "usage",
            must_arrive=False,
            memory_bytes=self._usage.memory_bytes,
            peak_memory_bytes=self._usage.peak_bytes,
            cpu_seconds=self._usage.cpu_seconds(),
        )

    def _how(self) -> dict[str, Any]:
        """Return how the main process ended, as far as that is known, and why."""
        status = self._status
        return {
            "exit_code": os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
            "cause": self._ending.cause if self._ending else "exit",
        }

    def _report_end(self, survivors: int) -> None:
        self._reports.send(
            "ended",
            **self._how(),
            peak_memory_bytes=self._usage.peak_bytes,
            cpu_seconds=self._usage.cpu_seconds(),
            processes_killed=len(self._tree.killed),
            survivors=survivors,
            oom_kills=self._usage.oom_kills,
        )
