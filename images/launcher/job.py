"""What the launcher is asked to run: the job's line, checked, and the command and environment that follow from it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

WRAPPER = str(Path(__file__).resolve().with_name("script.py"))
# Every numeric library reads a name of its own; TensorFlow's two pools have theirs.
THREAD_NAMES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


class BadJob(ValueError):
    """The job's line cannot be carried out; the message names the field and the value."""


@dataclass(frozen=True)
class Torchrun:
    """How torchrun starts this instance's workers; without a port it finds one itself (one instance only)."""

    nproc_per_node: int
    nnodes: int = 1
    node_rank: int = 0
    master_addr: str = ""
    master_port: int = 0


@dataclass(frozen=True)
class Job:
    """One script of one attempt on one instance. Sizes in bytes, times in seconds; 0 and empty mean no limit."""

    attempt: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    instance: int = 0
    memory_bytes: int = 0
    cpus: tuple[int, ...] = ()
    threads: int = 0
    grace_seconds: float = 25.0
    deadline_seconds: float = 0.0
    sleep_seconds: float = 0.0  # without a tick, from which on the script waits for a word of the run
    torchrun: Torchrun | None = None
    mlflow_run_id: str = ""

    @property
    def marks(self) -> frozenset[bytes]:
        """What tells the processes of this script from all others on the machine."""
        return frozenset({f"EMF_ATTEMPT={self.attempt}".encode(), f"EMF_INSTANCE={self.instance}".encode()})


NUMBERS = (int, float)
FIELDS: dict[str, tuple[type, ...]] = {
    "attempt": (str,),
    "argv": (list,),
    "cwd": (str,),
    "env": (dict,),
    "instance": (int,),
    "memory_bytes": (int,),
    "cpus": (list,),
    "threads": (int,),
    "grace_seconds": NUMBERS,
    "deadline_seconds": NUMBERS,
    "sleep_seconds": NUMBERS,
    "torchrun": (dict, type(None)),
    "mlflow_run_id": (str,),
}
REQUIRED = ("attempt", "argv", "cwd", "env")
TORCHRUN_FIELDS: dict[str, tuple[type, ...]] = {
    "nproc_per_node": (int,),
    "nnodes": (int,),
    "node_rank": (int,),
    "master_addr": (str,),
    "master_port": (int,),
}


def parse(line: bytes) -> Job:
    """Read the job's line.

    Raises:
        BadJob: it is not JSON, or a field is missing, unknown or of the wrong kind. Values of `env` are never shown.
    """
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise BadJob(f"The job on standard input must be one line of JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadJob("The job on standard input must be a JSON object.")
    _check(fields, FIELDS, REQUIRED, "")
    if not fields["attempt"] or not fields["argv"]:
        raise BadJob("`attempt` must name the attempt and `argv` must begin with the script's path; one is empty.")
    if not all(isinstance(word, str) for word in fields["argv"]):
        raise BadJob(f"`argv` must be a list of texts; it is {fields['argv']!r}.")
    if not all(isinstance(value, str) for value in fields["env"].values()):
        names = [name for name, value in fields["env"].items() if not isinstance(value, str)]
        raise BadJob(f"Every value of `env` must be a text; these are not: {', '.join(names)}.")
    if not all(type(cpu) is int for cpu in fields.get("cpus", [])):
        raise BadJob(f"`cpus` must be a list of numbers; it is {fields['cpus']!r}.")
    torchrun = fields.get("torchrun")
    if torchrun is not None:
        _check(torchrun, TORCHRUN_FIELDS, ("nproc_per_node",), "torchrun.")
        fields["torchrun"] = Torchrun(**torchrun)
    fields["argv"] = tuple(fields["argv"])
    fields["cpus"] = tuple(fields.get("cpus", []))
    return Job(**fields)


def _check(
    fields: dict[str, object], kinds: dict[str, tuple[type, ...]], required: tuple[str, ...], where: str
) -> None:
    missing = [name for name in required if name not in fields]
    unknown = [name for name in fields if name not in kinds]
    if missing or unknown:
        wrong = [f"`{where}{name}` is missing" for name in missing] + [
            f"`{where}{name}` is unknown" for name in unknown
        ]
        raise BadJob(f"The job's fields are wrong: {'; '.join(wrong)}.")
    for name, value in fields.items():
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            kind = " or ".join(sorted(kind.__name__ for kind in kinds[name]))
            raise BadJob(f"`{where}{name}` must be {kind}, not {type(value).__name__}.")
        if isinstance(value, NUMBERS) and value < 0:
            raise BadJob(f"`{where}{name}` must be 0 or more, not {value}.")


def command(job: Job, python: str = sys.executable) -> list[str]:
    """Return the argv that runs the script through the wrapper: once, or once for each worker of torchrun."""
    if not job.torchrun:
        return [python, WRAPPER, *job.argv]
    run = job.torchrun
    words = [python, "-m", "torch.distributed.run", f"--nproc_per_node={run.nproc_per_node}"]
    if run.nnodes == 1 and not run.master_port:
        words += ["--standalone"]
    else:
        words += [
            f"--nnodes={run.nnodes}",
            f"--node_rank={run.node_rank}",
            f"--master_addr={run.master_addr or '127.0.0.1'}",
        ]
        words += [f"--master_port={run.master_port}"]
    return [*words, WRAPPER, *job.argv]


def environment(job: Job) -> dict[str, str]:
    """Return the script's whole environment: the job's, the mark, and as many threads as the instance has cores.

    What the job says goes before the number of threads, and nothing goes before the mark.
    """
    workers = job.torchrun.nproc_per_node if job.torchrun else 1
    threads = {name: str(max(1, job.threads // max(1, workers))) for name in THREAD_NAMES} if job.threads else {}
    mark = {"EMF_ATTEMPT": job.attempt, "EMF_INSTANCE": str(job.instance), "PYTHONUNBUFFERED": "1"}
    run_id = {"EMF_MLFLOW_RUN_ID": job.mlflow_run_id} if job.mlflow_run_id else {}
    return {**threads, **job.env, **run_id, **mark}


def cores(wanted: tuple[int, ...]) -> set[int]:
    """Return the cores that the script may use: those wanted that this process has, or all if none is wanted.

    Raises:
        BadJob: none of those wanted is there.
    """
    there = os.sched_getaffinity(0)
    chosen = there & set(wanted) if wanted else there
    if not chosen:
        raise BadJob(f"`cpus` asks for the cores {sorted(wanted)}; this machine lends {sorted(there)}.")
    return chosen
