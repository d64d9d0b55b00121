"""Which processes of this machine belong to a platform's folder, whoever started them: their environment says so.

Every part and service carries EMF_HOME and EMF_PART; every process of an attempt's script carries EMF_ATTEMPT. So what
outlived its supervisord, a kill -9 or a lost terminal is found again, and nothing of another platform is touched.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from blocks.pools.processes import end_all

PART, ATTEMPT, HOME = "EMF_PART", "EMF_ATTEMPT", "EMF_HOME"


def belongs(environ: Mapping[str, str], home: Path) -> bool:
    """Say whether a process with this environment is the platform's whose folder is `home`.

    A script is not told EMF_HOME; what it is told lies in its attempt's folder, `home/work/…`.
    """
    if environ.get(HOME):
        return Path(environ[HOME]).resolve() == home.resolve() and bool(environ.get(PART) or environ.get(ATTEMPT))
    return bool(environ.get(ATTEMPT)) and any(value.startswith(f"{home}/work/") for value in environ.values())


def find(home: Path) -> list[psutil.Process]:
    """Return the platform's processes, without this one and those that it descends from."""
    mine = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [process for process, _ in _marked(home) if process.pid not in mine]


def parts(home: Path) -> set[str]:
    """Return the parts and services that have a process, whatever supervisord says of them."""
    return {environ[PART] for _, environ in _marked(home) if environ.get(PART)}


def _marked(home: Path) -> Iterator[tuple[psutil.Process, Mapping[str, str]]]:
    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except (psutil.Error, OSError):  # gone, a zombie, or another user's
            continue
        if belongs(environ, home):
            yield process, environ


def describe(process: psutil.Process) -> str:
    """Return a process in words: its part or attempt, and its pid."""
    try:
        environ = process.environ()
    except (psutil.Error, OSError):
        environ = {}
    attempt = environ.get(ATTEMPT)
    return f"{f'the script of attempt {attempt}' if attempt else environ.get(PART, 'a process')} (pid {process.pid})"


def end(home: Path, grace: float) -> list[psutil.Process]:
    """End the platform's processes: SIGTERM, `grace` seconds, SIGKILL, then also for new ones; return what is left."""
    end_all(find(home), grace, lambda: find(home))
    return find(home)
