"""Counts the outside calls of `train` and ends its process with SIGKILL before or after the n-th.

It comes into the run's process by PYTHONPATH, and into force when that loads the flow. `EMF_TRACE` names a folder: what
a plan in it says (`before 12`) happens to the first attempt of the training that the plan is named after; what was
called is written beside it.
"""

import functools
import importlib.util
import os
import signal
import sys
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path

FLOW = "flows.training.run"
# What goes on by the clock is no step of the flow.
BESIDE = ("beat", "usage", "APILogWorkerThread", "EventsWorker", "WaitingService", "prefect-heartbeat")


class Tracer:
    """Counts, writes down, kills."""

    def __init__(self, folder: Path, attempt: str) -> None:
        self.lock, self.count = threading.Lock(), 0
        self.file = folder / f"{attempt}.calls"
        plan = folder / f"{attempt.removesuffix('-a1')}.plan"
        when, at = plan.read_text().split() if plan.exists() and attempt.endswith("-a1") else ("", "0")
        self.when, self.at = when, int(at)

    def wrap(self, owner: object, name: str, what: str) -> None:
        call = getattr(owner, name)

        @functools.wraps(call)
        def traced(*args: object, **kwargs: object) -> object:
            if threading.current_thread().name.startswith(BESIDE):
                return call(*args, **kwargs)
            with self.lock:
                self.count += 1
                number = self.count
                with self.file.open("a") as out:
                    out.write(f"{number} {what} {threading.current_thread().name} {_words(args, kwargs)}\n")
            self.kill("before", number)
            try:
                return call(*args, **kwargs)
            finally:
                self.kill("after", number)

        setattr(owner, name, traced)

    def kill(self, when: str, number: int) -> None:
        if (when, number) == (self.when, self.at):
            os.kill(os.getpid(), signal.SIGKILL)


def _words(args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    for one in (*args, *kwargs.values()):
        url = getattr(one, "url", None)
        if url is not None and getattr(one, "method", None) is not None:
            return f"{one.method} {url}"[:200]
    return " ".join(str(one) for one in args if isinstance(one, str | Path | list))[:200]


def trace(folder: str, attempt: str) -> None:
    import httpx
    import urllib3

    tracer = Tracer(Path(folder), attempt)
    tracer.wrap(httpx.HTTPTransport, "handle_request", "request")
    tracer.wrap(urllib3.connectionpool.HTTPConnectionPool, "urlopen", "request")
    import subprocess

    tracer.wrap(subprocess.Popen, "__init__", "spawn")
    for name in ("rename", "replace", "link", "unlink"):
        tracer.wrap(os, name, name)


class Finder:
    """Finds the flow's module, once, so that the tracing begins when it has been loaded."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if name != FLOW:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module: object) -> None:
            load(module)
            trace(os.environ["EMF_TRACE"], os.environ["EMF_ATTEMPT"])

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("EMF_TRACE") and os.environ.get("EMF_ATTEMPT"):
    sys.meta_path.insert(0, Finder())
