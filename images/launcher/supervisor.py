"""Run one script to its end, whatever that end is, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from . import job as jobs
from . import proc
from .ending import LEFTOVER_GRACE_SECONDS, MEMORY_GRACE_SECONDS, Ending, cause_of
from .tree import Identity, Tree, deliver, identity
from .usage import Usage

if TYPE_CHECKING:
    from .job import Job
    from .reports import Reports

TICK_SECONDS = 0.1
USAGE_SECONDS = 2.0
KILL_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)


class Supervisor:
    """One script's life, watched from beside it."""

    def __init__(self, job: Job, reports: Reports, parent_pipe: int = 0) -> None:
        """Prepare to run the job; the end of `parent_pipe` means that whoever wanted the script is dead."""
        self._job = job
        self._reports = reports
        self._parent_pipe = parent_pipe
        self._parent_lives = True
        self._stop_wanted = False
        self._tree = Tree(job.marks)
        self._usage = Usage(self._tree, job.memory_bytes)
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
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, jobs.cores(self._job.cpus))  # the child inherits it
        try:
            child = subprocess.Popen(
                jobs.command(self._job),
                cwd=self._job.cwd,
                env=jobs.environment(self._job),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (this process has one thread)
            )
        finally:
            os.sched_setaffinity(0, mine)
        self._pid = child.pid
        child.returncode = 0  # it is reaped here, with the orphans: Popen must not wait for it
        if self._job.deadline_seconds:
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
            now = time.monotonic()
            self._usage.sample(now)
            if now >= next_usage:
                self._report_usage()
                next_usage = now + USAGE_SECONDS
            if self._finished(time.monotonic()):
                return
            self._wait()

    def _finished(self, now: float) -> bool:
        """Move the ending on; tell whether it is time to kill whatever is left (perhaps nothing)."""
        main_lives = self._status is None
        if not self._ending:
            self._ending = self._begin(now, main_lives)
        if not self._ending:
            return False
        due = "kill" if self._usage.verdict == "far" else self._ending.due(now, main_lives)
        if due == "main":
            self._tell_main()
        elif due == "all":
            self._tree.send(signal.SIGTERM, self._told)
            return not self._tree.latest
        return due == "kill"

    def _begin(self, now: float, main_lives: bool) -> Ending | None:
        if not main_lives:
            return Ending("exit", now, LEFTOVER_GRACE_SECONDS, everyone_at_once=True)
        cause = cause_of(self._stop_wanted, self._parent_lives, now, self._deadline, self._usage.verdict)
        if cause == "memory":
            return Ending(cause, now, MEMORY_GRACE_SECONDS, everyone_at_once=True)
        return Ending(cause, now, self._job.grace_seconds) if cause else None

    def _tell_main(self) -> None:
        main = proc.process(self._pid)
        if main and identity(main) not in self._told:
            self._told.add(identity(main))
            deliver(main, signal.SIGTERM)

    def _wait(self) -> None:
        """Wait for a signal, the parent's end or the next tick."""
        watched = [self._wakeup, self._parent_pipe] if self._parent_lives else [self._wakeup]
        ready, _, _ = select.select(watched, [], [], TICK_SECONDS)
        for descriptor in ready:
            with contextlib.suppress(BlockingIOError):
                if not os.read(descriptor, 65536):
                    self._parent_lives = False

    def _reap(self) -> None:
        """Take note of every child that has ended, orphans of the script among them."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid == self._pid:
                    self._status = status

    def _report_usage(self) -> None:
        self._reports.send(
            "usage",
            must_arrive=False,
            memory_bytes=self._usage.memory_bytes,
            peak_memory_bytes=self._usage.peak_bytes,
            cpu_seconds=self._usage.cpu_seconds(),
        )

    def _report_end(self, survivors: int) -> None:
        status = self._status
        self._reports.send(
            "ended",
            exit_code=os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
            cause=self._ending.cause if self._ending else "exit",
            peak_memory_bytes=self._usage.peak_bytes,
            cpu_seconds=self._usage.cpu_seconds(),
            processes_killed=len(self._tree.killed),
            survivors=survivors,
            oom_kills=self._usage.oom_kills,
        )


def die_with_parent() -> None:
    """Have the kernel kill this process when the launcher dies: the last resort, beyond which only the mark is left.

    It reaches the script's main process and no other: torchrun's workers live on until they are found by their mark.
    """
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
