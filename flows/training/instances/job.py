"""What the launcher is asked to run: the script, its arguments, its environment, its share of the machine."""

import math
import os
from pathlib import Path

from blocks.catalogue.catalogue import Framework
from flows.training.assignment import Assignment
from flows.training.instances import contract
from flows.training.instances.door import BEAT_SECONDS
from flows.training.instances.instance import Instance

SLEEP_SECONDS = 2 * BEAT_SECONDS  # less than any lease: who sleeps longer has missed beats


def job_of(instance: Instance, python: Path) -> dict[str, object]:
    """Return the launcher's job for an instance; `python` is what the script runs with."""
    assignment, folders, rank = instance.assignment, instance.folders, instance.rank
    spec = assignment.spec
    script = folders.source / spec.entry_point
    return {
        "attempt": assignment.attempt_id,
        "instance": rank.index,
        "argv": [str(script), *contract.arguments(spec.hyperparameters)],
        "cwd": str(script.parent),
        "env": _environment(instance, python),
        "memory_bytes": assignment.memory_bytes,
        "cpus": cores(assignment.vcpus, assignment.attempt_id, rank.index),
        "threads": max(1, int(assignment.vcpus)),
        "grace_seconds": float(assignment.grace_seconds),
        "deadline_seconds": assignment.seconds_left,
        "sleep_seconds": SLEEP_SECONDS,
        "torchrun": _torchrun(assignment, rank) if spec.use_torchrun else None,
        "mlflow_run_id": assignment.tracked.run_id,
    }


def _environment(instance: Instance, python: Path) -> dict[str, str]:
    assignment = instance.assignment
    site = contract.Site(
        framework=Framework(assignment.framework),
        image_bin=python.parent,
        region=assignment.region,
        app_key=assignment.app_key,
        mlflow_url=assignment.tracked.tracking_uri,
    )
    ids = contract.Ids(
        training=assignment.training_id,
        attempt=assignment.attempt_id,
        experiment=assignment.experiment_id,
        mlflow_run=assignment.tracked.run_id,
        mlflow_experiment=assignment.tracked.experiment_id,
    )
    gpus = _gpus(assignment, instance.rank)
    return contract.environment(assignment.spec, instance.folders, ids, instance.rank, gpus, site, os.environ)


def _torchrun(assignment: Assignment, rank: contract.Rank) -> dict[str, object]:
    return {
        "nproc_per_node": assignment.spec.processes_per_node,
        "nnodes": rank.count,
        "node_rank": rank.index,
        "master_addr": rank.hosts[0],
        "master_port": rank.port if rank.count > 1 else 0,
    }


def _gpus(assignment: Assignment, rank: contract.Rank) -> list[str]:
    each = len(assignment.gpus) // rank.count
    return assignment.gpus[rank.index * each : (rank.index + 1) * each]


def cores(vcpus: float, attempt_id: str, index: int) -> list[int]:
    """Return the processors of an instance's share; where attempts begin is spread by their ids."""
    there = sorted(os.sched_getaffinity(0))
    count = min(math.ceil(vcpus), len(there))
    first = (sum(attempt_id.encode()) + index * count) % len(there)
    return sorted(there[(first + step) % len(there)] for step in range(count))
