"""What every instance of a training does: stage in, install, launch, upload its part. Free of Prefect.

Each instance has a folder of its own below its attempt's; the launcher runs the script in the image's environment and
this side feeds it the job, keeps its lines, and watches over what it leaves.
"""

import math
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blocks.catalogue.catalogue import GIB, Framework
from blocks.errors import Temporary
from blocks.logs.line import Level, Source
from blocks.logs.sink import Fragment, InstanceLog, LogSink
from blocks.pools.environments import RequirementsFailed, overlay
from blocks.records.words import Wish
from blocks.storage.errors import StorageError
from blocks.storage.location import DERIVED_LIMIT, parse
from blocks.storage.storage import Storage
from flows.training import contract
from flows.training.assignment import Assignment
from flows.training.checkpoint import OWN_FOLDER, Damaged, fetch
from flows.training.door import Door
from flows.training.verdict import Cause

INSTALL_SECONDS = 1800
LAST_LINES = 30


class StepFailed(Exception):
    """A step before or after the script failed; `cause` says what kind of failure it is."""

    def __init__(self, cause: Cause, message: str, last_lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.cause, self.last_lines = cause, last_lines


class Interrupted(Exception):
    """The attempt is to end now: a wish, a signal, or it was given up."""


class ScriptLog(InstanceLog):
    """An instance's log that remembers the script's last lines: they are evidence."""

    def __init__(self, sink: LogSink, training_id: str, attempt: int, instance: int) -> None:
        super().__init__(sink, training_id, attempt, instance)
        self.last: deque[str] = deque(maxlen=LAST_LINES)

    def write(self, fragments: Sequence[Fragment], source: Source = "script", level: Level = "INFO") -> None:
        """Store lines, and remember them where they are the script's."""
        super().write(fragments, source, level)
        if source == "script":
            self.last.extend(body for body, _ in fragments[-LAST_LINES:])


@dataclass
class Instance:
    """One instance of an attempt."""

    assignment: Assignment
    rank: contract.Rank
    root: Path
    storage: Storage
    log: "ScriptLog"
    door: Door
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def folders(self) -> contract.Folders:
        """Where the script finds and leaves things."""
        data_sets = {d.name: self.root / "data" / d.name for d in self.assignment.spec.data_sets}
        names = ("source", "model", "checkpoint_input", "checkpoint", "tensorboard", "home", "tmp")
        return contract.Folders(data_sets=data_sets, **{name: self.root / name for name in names})

    def go_on(self) -> None:
        """Raise `Interrupted` where the attempt is to end now."""
        if self.stop.is_set() or self.door.given_up.is_set() or self.door.wish != Wish.NONE:
            raise Interrupted

    def say(self, text: str) -> None:
        """Tell what is being done: in the training's log, and where people look at its state."""
        self.door.progress = text
        self.log.say(text)


def stage_in(instance: Instance, tell: Callable[[str, float], None]) -> None:
    """Bring the code, the data sets and the checkpoint to go on from into the instance's folders.

    Args:
        instance: the instance.
        tell: called with what is copied and how much of it is there, from 0 to 1.

    Raises:
        StepFailed: something is not there (DATA) or could not be reached (STORAGE).
    """
    spec, folders = instance.assignment.spec, instance.folders
    shutil.rmtree(instance.root, ignore_errors=True)
    for folder in (folders.model, folders.checkpoint_input, folders.checkpoint, folders.tensorboard):
        folder.mkdir(parents=True)
    folders.home.mkdir()
    folders.tmp.mkdir()
    with _as_step():
        _download(instance, "the code", spec.algorithm_path, folders.source, tell)
        for data_set in spec.data_sets:
            _data_set(instance, data_set.name, data_set.path, folders.data_sets[data_set.name], tell)
        _checkpoint(instance)


def _download(instance: Instance, what: str, path: str, folder: Path, tell: Callable[[str, float], None]) -> None:
    instance.say(f"staging in {what} from {path}")

    def progress(done: int, total: int) -> None:
        instance.go_on()
        tell(what, done / total if total else 1.0)

    folder.mkdir(parents=True, exist_ok=True)
    got = instance.storage.download(parse(path), folder, progress)
    instance.log.say(f"staged in {what}: {got.files} file(s), {got.bytes / 2**20:.1f} MiB")
    _tell_skipped(instance, got.skipped)


def _tell_skipped(instance: Instance, skipped: Sequence[str]) -> None:
    """Tell of files that were not copied: links that lead away, names that cannot be."""
    for one in skipped:
        instance.log.say(f"not copied: {one}", "WARNING")
        instance.door.warn(f"Warning: not copied: {one}")


def _data_set(instance: Instance, name: str, path: str, folder: Path, tell: Callable[[str, float], None]) -> None:
    mounted = instance.storage.mounted(parse(path))
    if mounted is not None:
        instance.say(f"the data set {name} is mounted from {path}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(mounted)
        return
    limit = instance.assignment.spec.data_storage_gb * GIB
    size = sum(entry.size for entry in instance.storage.entries(parse(path)))
    if size > limit:
        message = f"The data set {name} has {size / GIB:.1f} GB, the data storage {limit / GIB:.0f} GB."
        raise StepFailed(Cause.DATA, message)
    _download(instance, f"the data set {name}", path, folder, tell)


def _checkpoint(instance: Instance) -> None:
    """Hand over the checkpoint to go on from: of an earlier attempt, else what lies at the checkpoint path."""
    assignment, folders = instance.assignment, instance.folders
    if assignment.resume_from:
        instance.say(f"going on from the checkpoint {assignment.resume_from}")
        fetch(instance.storage, assignment.resume_from, folders.checkpoint_input)
        # What a script overwrites in place must be there as it left it.
        shutil.copytree(folders.checkpoint_input, folders.checkpoint, dirs_exist_ok=True)
    elif assignment.spec.checkpoint_path and any(True for _ in _given(instance)):
        verified = fetch(instance.storage, assignment.spec.checkpoint_path, folders.checkpoint_input)
        how = "verified" if verified else "as it is: it carries no manifest of ours"
        instance.say(f"checkpoint input from {assignment.spec.checkpoint_path} ({how})")


def _given(instance: Instance) -> Iterator[str]:
    """Return what a person put at the checkpoint path; trainings' own folders are theirs."""
    for entry in instance.storage.entries(parse(instance.assignment.spec.checkpoint_path)):
        if not OWN_FOLDER.match(entry.key):
            yield entry.key


def install(instance: Instance, python: Path) -> Path:
    """Install `requirements.txt` beside the entry point into the attempt's own place; returns the python to run.

    Raises:
        StepFailed: it does not install (REQUIREMENTS); the message has pip's words.
    """
    entry_point = instance.folders.source / instance.assignment.spec.entry_point
    requirements = entry_point.parent / "requirements.txt"
    if not requirements.is_file():
        return python
    instance.say("installing requirements.txt")
    try:
        return overlay(
            python,
            instance.root / "environment",
            requirements,
            lambda line: instance.log.write([(line, 0)], "platform"),
            deadline=INSTALL_SECONDS,
            should_stop=lambda: _is_stopped(instance),
        )
    except RequirementsFailed as error:
        instance.go_on()
        raise StepFailed(Cause.REQUIREMENTS, str(error), tuple(error.last_lines)) from error


def _is_stopped(instance: Instance) -> bool:
    try:
        instance.go_on()
    except Interrupted:
        return True
    return False


def stage_out(instance: Instance, tell: Callable[[str, float], None]) -> int:
    """Put the model in its place, `{output}/{training id}/model`; returns how many files there are.

    Raises:
        StepFailed: the place could not be written (STORAGE).
        Interrupted: a stop came; the model has no marker then and does not count.
    """
    folders, output = instance.folders, instance.assignment.output
    instance.say(f"staging out the model to {output}/model")

    def progress(done: int, total: int) -> None:
        instance.go_on()
        tell("the model", done / total if total else 1.0)

    instance.go_on()
    with _as_step():
        # What an earlier attempt left there half-sent is not this model.
        place = parse(f"{output}/model/", DERIVED_LIMIT)
        instance.storage.delete(place)
        if not any(folders.model.iterdir()):
            return 0
        sent = instance.storage.upload(folders.model, place, progress)
    _tell_skipped(instance, sent.skipped)
    return sent.files


@contextmanager
def _as_step() -> Generator[None]:
    """Turn what storage says into a step's failure: what is not there is DATA, what does not answer STORAGE."""
    try:
        yield
    except (Damaged, StorageError) as error:
        if isinstance(error, Temporary):
            raise StepFailed(Cause.STORAGE, str(error)) from error
        raise StepFailed(Cause.DATA, str(error)) from error


def job_of(instance: Instance, python: Path) -> dict[str, object]:
    """Return what the launcher is asked to run."""
    assignment, folders, rank = instance.assignment, instance.folders, instance.rank
    spec = assignment.spec
    script = folders.source / spec.entry_point
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
    share = contract.Share(vcpus=assignment.vcpus, gpus=tuple(_gpus(assignment, rank)))
    torchrun = {
        "nproc_per_node": spec.processes_per_node,
        "nnodes": rank.count,
        "node_rank": rank.index,
        "master_addr": rank.hosts[0],
        "master_port": rank.port if rank.count > 1 else 0,
    }
    return {
        "attempt": assignment.attempt_id,
        "instance": rank.index,
        "argv": [str(script), *contract.arguments(spec.hyperparameters)],
        "cwd": str(script.parent),
        "env": contract.environment(spec, folders, ids, rank, share, site, os.environ),
        "memory_bytes": assignment.memory_bytes,
        "cpus": cores(assignment.vcpus, assignment.attempt_id, rank.index),
        "threads": max(1, int(assignment.vcpus)),
        "grace_seconds": float(assignment.grace_seconds),
        "deadline_seconds": assignment.seconds_left,
        "torchrun": torchrun if spec.use_torchrun else None,
        "mlflow_run_id": assignment.tracked.run_id,
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
