"""Start a script's main process, so that it dies with the launcher and what it leaves behind comes to the launcher."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from . import job as jobs

if TYPE_CHECKING:
    from .job import Job

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)


def spawn(job: Job) -> int:
    """Start the script and return its process's number; the caller reaps it, with the orphans that become its children.

    Raises:
        BadJob: it cannot be started as the job says.
        OSError: the interpreter or the working folder is not there.
    """
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, jobs.cores(job.cpus))  # the child inherits it
    try:
        child = subprocess.Popen(
            jobs.command(job),
            cwd=job.cwd,
            env=jobs.environment(job),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=functools.partial(die_with, os.getpid()),  # noqa: PLW1509 (this process has one thread)
        )
    finally:
        os.sched_setaffinity(0, mine)
    child.returncode = 0  # Popen must not wait for it
    return child.pid


def die_with(launcher: int) -> None:
    """Have the kernel kill this process when the launcher dies: the last resort, beyond which only the mark is left.

    It reaches the script's main process; torchrun's workers ask the same of their agent (`script.py`), and what others
    have started lives on until it is found by its mark.
    """
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != launcher:  # it has died before that was asked
        os.kill(os.getpid(), signal.SIGKILL)
