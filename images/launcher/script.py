"""Runs a user's script as `python script.py` would, except that MLflow's run of the training stays open at its end.

MLflow closes the run when the script exits, as FINISHED even after an uncaught exception. The platform sets the run's
status from the exit code, so `MlflowClient.set_terminated` leaves that one run alone; runs that the script starts
itself end as ever. In that run a parameter keeps the value that it has. MLflow is only touched once the script
imports it.
"""

from __future__ import annotations

import sys

if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # before any other import: the platform's files are none of the script's modules

import atexit
import builtins
import contextlib
import functools
import gc
import importlib.machinery
import importlib.util
import io
import os
import signal
import types

TYPE_CHECKING = False  # typing itself is not imported: what a script does not use should not cost it time
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any

CLIENT_MODULE = "mlflow.tracking.client"
CANNOT_OPEN = 2  # what python itself exits with
PR_SET_PDEATHSIG = 1


def keep_open(client: Any, ours: str) -> None:
    """Have `set_terminated` of this class send what is still queued, and no more, for the run with this id."""
    close = client.set_terminated

    @functools.wraps(close)
    def set_terminated(self: Any, run_id: str, *args: Any, **kwargs: Any) -> Any:
        if run_id != ours:
            return close(self, run_id, *args, **kwargs)
        store = getattr(getattr(self, "_tracking_client", None), "store", None)
        flush = getattr(store, "shut_down_async_logging", None)
        if flush:
            flush()
        return None

    client.set_terminated = set_terminated


def keep_parameters(client: Any, ours: str) -> None:
    """Have this class log the value that a parameter of the run with this id has already, instead of another one.

    The platform logs the hyperparameters as they were asked for. MLflow takes the same value again, but refuses the
    `0.001` that a script has read from `1e-3`.
    """
    log_one, log_many = client.log_param, client.log_batch

    def there(self: Any, run_id: str, wanted: Mapping[str, Any]) -> dict[str, str]:
        known = self.get_run(run_id).data.params if run_id == ours and wanted else {}
        other = {key: known[key] for key, value in wanted.items() if known.get(key, str(value)) != str(value)}
        for key, value in other.items():
            sys.stderr.write(
                f"MLflow: the parameter {key} has the value {value!r} already; {wanted[key]!r} is left out\n"
            )
        return other

    @functools.wraps(log_one)
    def log_param(self: Any, run_id: str, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        other = there(self, run_id, {key: value})
        answer = log_one(self, run_id, key, other.get(key, value), *args, **kwargs)
        return value if key in other and answer == other[key] else answer

    @functools.wraps(log_many)
    def log_batch(
        self: Any, run_id: str, metrics: Any = (), params: Any = (), tags: Any = (), *args: Any, **kwargs: Any
    ) -> Any:
        params = list(params)
        other = there(self, run_id, {param.key: param.value for param in params})
        params = [type(param)(param.key, other.get(param.key, param.value)) for param in params]
        return log_many(self, run_id, metrics, params, tags, *args, **kwargs)

    client.log_param, client.log_batch = log_param, log_batch


class ClientFinder:
    """Finds MLflow's client module, once, so that it is changed as soon as it has been loaded."""

    def __init__(self, run_id: str) -> None:
        """Keep the run with this id open, and its parameters as they are."""
        self._run_id = run_id

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for one module only (importlib.abc.MetaPathFinder)."""
        if name != CLIENT_MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                load(module)
                keep_open(module.MlflowClient, self._run_id)
                keep_parameters(module.MlflowClient, self._run_id)

            spec.loader.exec_module = exec_module
        return spec


def watch_mlflow(environment: Mapping[str, str]) -> None:
    """Have MLflow's client changed if and when it is imported."""
    run_id = environment.get("EMF_MLFLOW_RUN_ID") or environment.get("MLFLOW_RUN_ID")
    if run_id:
        sys.meta_path.insert(0, ClientFinder(run_id))


def die_with_agent(environment: Mapping[str, str]) -> None:
    """Have the kernel kill a worker of torchrun's as soon as its agent dies, and with it a launcher that is killed.

    The agent carries the attempt's mark as the worker does; whoever adopts a worker whose agent is dead does not.
    """
    if "TORCHELASTIC_RUN_ID" not in environment or "EMF_ATTEMPT" not in environment:
        return
    import ctypes  # only here: it costs time

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        with open(f"/proc/{os.getppid()}/environ", "rb") as file:  # noqa: PTH123
            lives = f"EMF_ATTEMPT={environment['EMF_ATTEMPT']}".encode() in file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        lives = False
    except OSError:  # not ours to read
        lives = True
    if not lives:
        os.kill(os.getpid(), signal.SIGKILL)


def write_whole_lines() -> None:
    """Send what is printed line by line: text and line break are two writes otherwise, and workers' lines would mix."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        if old is None:
            continue
        new = open(descriptor, "w", 1, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def begin_traceback_in_script() -> None:
    """Leave the frames of this file out of the traceback of an exception that nobody caught."""
    show = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        while trace and trace.tb_frame.f_code.co_filename == excepthook.__code__.co_filename:
            trace = trace.tb_next
        show(kind, error.with_traceback(trace), trace)

    sys.excepthook = excepthook


def main_module(path: str) -> types.ModuleType:
    """Return a `__main__` like the one that `python path` has: worker processes find the script by its `__file__`."""
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    module.__dict__["__builtins__"] = builtins
    module.__dict__["__cached__"] = None
    return module


def leave_as_one_of_several(ending: dict[str, int]) -> None:
    """End the process after its last exit handler, with the code that is in `ending` by then.

    Threads of a process group (gloo's) that live on while the interpreter takes itself apart abort about one in ten
    workers that had finished (pytorch/pytorch pull request 179291), and with it all of the training. What the script
    left open is flushed first, but not closed as the interpreter would: a GzipFile or ZipFile lacks its end unless the
    script closes it.
    """

    def leave() -> None:
        if "code" not in ending:
            return
        for thing in gc.get_objects():
            if issubclass(type(thing), io.IOBase):
                with contextlib.suppress(Exception):
                    thing.flush()
        os._exit(ending["code"])

    atexit.register(leave)  # before the script registers any: the last one runs first


def exit_code(error: BaseException) -> int:
    """Return what python exits with after this exception."""
    if not isinstance(error, SystemExit):
        return 1
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1


def run(path: str, ending: dict[str, int]) -> None:
    """Run the script, and leave its exit code in `ending`; what it raises passes through, SystemExit too."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            source = file.read()
    except OSError as error:
        sys.stderr.write(f"python: can't open file {path!r}: {error}\n")
        sys.exit(CANNOT_OPEN)
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
    module = main_module(path)
    sys.modules["__main__"] = module
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except BaseException as error:
        begin_traceback_in_script()
        if not isinstance(error, KeyboardInterrupt):  # which ends the process by its signal
            ending["code"] = exit_code(error)
        raise
    ending["code"] = 0


if __name__ == "__main__":
    del sys.argv[0]
    die_with_agent(os.environ)
    write_whole_lines()
    watch_mlflow(os.environ)
    ended: dict[str, int] = {}
    if os.environ.get("WORLD_SIZE", "1") != "1":
        leave_as_one_of_several(ended)
    run(sys.argv[0], ended)
