"""`train`, the flow that runs on the instance: one attempt at one training, from its claim to its end.

It opens no database and holds no key of the platform: what it needs comes with the claim, and what it has to tell goes
through the controller's door.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from prefect import flow, get_client, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed

from blocks import settings
from blocks.errors import Permanent, Temporary
from blocks.logs.local import LocalSink
from blocks.pools.environments import Environments
from blocks.records.words import TrainingState
from blocks.settings import LOOPBACK
from blocks.storage.storage import Storage
from flows.control import Decided
from flows.tensorboard.service import folder as tensorboard_folder
from flows.training import instance as steps
from flows.training.assignment import Assignment, work_folder
from flows.training.contract import Rank
from flows.training.door import Door, GivenUp
from flows.training.instance import Instance, Interrupted, ScriptLog, StepFailed
from flows.training.launch import launch
from flows.training.model import mark, unmark
from flows.training.uploads import Uploads
from flows.training.verdict import Cause, Evidence

Told = Callable[[str, float], None]


@flow(name="train", validate_parameters=False)
def train(training_id: str, attempt: int) -> State:
    """Carry out one attempt at a training on this instance. The platform submits it; people use create-training.

    Args:
        training_id: The training.
        attempt: Which of its attempts.
    """
    try:
        door, assignment = claim(training_id, attempt)
        with door.beating(), instances_of(door, assignment) as instances:
            evidence = carry_out(instances)
            answer = tell_end(door, evidence)
            if is_success(evidence) and answer["state"] != TrainingState.COMPLETE:
                unmark(instances[0])  # a stop came between the marker and the end
    except GivenUp as error:
        # Never Cancelled: that is what a person does, and it would be taken for the wish to stop.
        return Failed(message=f"This attempt no longer counts: {error}", data=Decided(str(error)))
    return _state(answer["state"], answer["message"])


def carry_out(instances: Sequence[Instance]) -> Evidence:
    """Do the attempt; whatever ends it becomes evidence."""
    first = instances[0]
    try:
        python = prepare_image(first)
        stage_in(instances)
        pythons = install(instances, python)
        evidence = run_script(instances, pythons)
        first.door.stage_out(evidence)
        if is_success(evidence):
            stage_out(instances)
    except StepFailed as error:
        return Evidence(error.cause, error=str(error), last_lines=error.last_lines)
    except Interrupted:
        return Evidence(Cause.STOPPED)
    except TerminationSignal:
        return Evidence(Cause.CANCELLED if _is_cancelled() else Cause.STOPPED)
    except (Permanent, Temporary, OSError) as error:
        if isinstance(error, GivenUp):
            raise
        return Evidence(Cause.PLATFORM, error=f"{type(error).__name__}: {error}")
    return evidence


@task(cache_policy=NO_CACHE)
def claim(training_id: str, attempt: int) -> tuple[Door, Assignment]:
    """Take the attempt: from here it is ours alone, as long as we are heard of."""
    where = settings.load()
    door = Door(os.environ.get("EMF_CONTROLLER_URL") or where.controller_url, f"{training_id}-a{attempt}")
    context = FlowRunContext.get()
    flow_run_id = str(context.flow_run.id) if context and context.flow_run else ""
    return door, door.claim(os.environ.get("EMF_CLAIM_CODE", ""), flow_run_id)


@contextmanager
def instances_of(door: Door, assignment: Assignment) -> Generator[list[Instance]]:
    """Make the instances of an attempt on this machine, each with a folder and a log of its own."""
    home, count = settings.home(), assignment.spec.instance_count
    root, port, stop = work_folder(home, assignment.attempt_id), _free_port(count), threading.Event()
    storage = Storage.from_wire(assignment.storage)
    made: list[Instance] = []
    try:
        for index in range(count):
            sink = LocalSink(home, assignment.training_id, assignment.number, index)
            log = ScriptLog(sink, assignment.training_id, assignment.number, index)
            rank = Rank(index, count, (LOOPBACK,) * count, port)
            made.append(Instance(assignment, rank, root / f"instance-{index}", storage, log, door, stop))
        yield made
    finally:
        for one in made:
            one.log.close()


@task(cache_policy=NO_CACHE)
def prepare_image(first: Instance) -> Path:
    """See that the image's environment is there; the first training of an image makes it."""
    first.say(f"preparing the image {first.assignment.spec.image}")
    try:
        return Environments(settings.home()).ensure(first.assignment.environment, first.say)
    except Permanent as error:
        raise StepFailed(Cause.IMAGE, str(error)) from error


@task(cache_policy=NO_CACHE)
def stage_in(instances: Sequence[Instance]) -> None:
    """Bring code, data sets and the checkpoint to go on from."""
    for one in instances:
        steps.stage_in(one, _progress("Staging in"))


@task(cache_policy=NO_CACHE)
def install(instances: Sequence[Instance], python: Path) -> list[Path]:
    """Install what the script's requirements.txt asks for, in the attempt's own place."""
    return [steps.install(one, python) for one in instances]


@task(cache_policy=NO_CACHE)
def run_script(instances: Sequence[Instance], pythons: Sequence[Path]) -> Evidence:
    """Run the script on every instance; the first that fails ends the others, and its evidence counts."""
    first, logger = instances[0], get_run_logger()
    assignment = first.assignment
    mirrored = tensorboard_folder(
        settings.home(), assignment.experiment_id, assignment.spec.name, assignment.training_id
    )
    ends: list[tuple[float, Evidence]] = []
    uploads = [Uploads(one, mirrored) for one in instances]

    def started() -> None:
        first.say("running")
        first.door.run()

    def go(one: Instance, python: Path, upload: Uploads) -> None:
        upload.start()
        try:
            evidence = launch(one, python, logger.info, started if one is first else lambda: None)
        except Exception as error:  # noqa: BLE001 (a thread's fault must reach the attempt's end)
            evidence = Evidence(Cause.PLATFORM, error=f"{type(error).__name__}: {error}")
        ends.append((time.monotonic(), evidence))
        if not is_success(evidence):
            one.stop.set()
        upload.finish()

    with ThreadPoolExecutor(len(instances), thread_name_prefix="instance") as pool:
        running = [pool.submit(go, *each) for each in zip(instances, pythons, uploads, strict=True)]
        was_signalled = _wait_for(running, first)
    for one in running:
        one.result()
    if was_signalled and _is_cancelled():
        return Evidence(Cause.CANCELLED)
    return min(ends, key=lambda end: (is_success(end[1]), end[0]))[1]


def _wait_for(running: Sequence[Future[None]], first: Instance) -> bool:
    """Wait for the instances; returns whether a signal to this process ended them."""
    was_signalled = False
    while not all(one.done() for one in running):
        try:
            wait(running)  # not Thread.join: interrupted by a signal, it takes a living thread for ended
        except TerminationSignal:
            # Prefect sends it more than once; the grace and the last uploads must not be cut short by the next.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            was_signalled = True
            first.stop.set()
    return was_signalled


@task(cache_policy=NO_CACHE)
def stage_out(instances: Sequence[Instance]) -> None:
    """Put the model of instance 0 in its place, and the marker that makes it count."""
    first = instances[0]
    files = steps.stage_out(first, _progress("Staging out"))
    if not files:
        first.door.warn("Warning: the script left nothing in EM_MODEL_DIR; there is no model.")
    mark(first)


@task(cache_policy=NO_CACHE)
def tell_end(door: Door, evidence: Evidence) -> dict[str, str]:
    """End the attempt in the records; the answer is what becomes of the training."""
    return door.end(evidence)


def is_success(evidence: Evidence) -> bool:
    """Say whether the script ended by itself, and well."""
    return evidence.cause == Cause.EXIT and evidence.exit_code == 0


def _progress(what: str) -> Told:
    """Return what shows progress in the run's artifacts, at most once a second."""
    shown: dict[str, float] = {}
    artifact = create_progress_artifact(progress=0.0, description=what)

    def tell(part: str, share: float) -> None:
        now = time.monotonic()
        if share >= 1.0 or now - shown.get(part, 0.0) > 1.0:
            shown[part] = now
            update_progress_artifact(artifact, progress=share * 100, description=f"{what}: {part}")  # pyright: ignore

    return tell


def _is_cancelled() -> bool:
    """Say whether a person cancelled this run in Prefect; a worker that was stopped sends the same signal."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return False
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(context.flow_run.id).state
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def _free_port(count: int) -> int:
    """Return a port from which instances of one machine can find each other."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return min(probe.getsockname()[1], 65535 - count - 1)


def _state(state: str, message: str) -> State:
    if state == TrainingState.COMPLETE:
        return Completed(message=message)
    kind = Cancelled if state == TrainingState.STOPPED else Failed
    return kind(message=message, data=Decided(message))
