"""`train`, the flow that runs on the instance: one attempt at one training, from its claim to its end.

It opens no database and holds no key of the platform: what it needs comes with the claim, and what it has to tell goes
through the controller's door.
"""

import os
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from prefect import flow, get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed

from blocks import settings
from blocks.logs.errors import LogError, LogStoreAway
from blocks.logs.local import LocalSink
from blocks.records.words import TrainingState
from blocks.settings import LOOPBACK
from blocks.storage.errors import NoSpace, StorageError, Unreachable
from blocks.storage.storage import Storage
from flows.control import leave_out_decided
from flows.decided import Decided
from flows.tensorboard.service import folder as tensorboard_folder
from flows.training import artifacts
from flows.training.assignment import Assignment, work_folder
from flows.training.ends.verdict import Cause, Evidence
from flows.training.instances import delivery, environment, staging
from flows.training.instances.contract import Rank
from flows.training.instances.door import Door, DoorClosed, GivenUp
from flows.training.instances.gang import is_success, run_together
from flows.training.instances.instance import Instance, Interrupted, ScriptLog, StepFailed
from flows.training.instances.kept import is_kept, keep
from flows.training.instances.model import marker
from flows.training.instances.resume import bring_checkpoint

leave_out_decided()


@flow(name="train", validate_parameters=False)
def train(training_id: str, attempt: int) -> State:
    """Carry out one attempt at a training on this instance. The platform submits it; people use create-training.

    Args:
        training_id: The training.
        attempt: Which of its attempts.
    """
    try:
        door, assignment = claim(training_id, attempt)
        with door.beating():
            evidence = carry_out(door, assignment)
            answer = tell_end(door, evidence)
            artifacts.show_end(evidence, answer)
            if is_success(evidence) and answer["state"] != TrainingState.COMPLETE:
                with suppress(StorageError):  # reconcile looks after it as well
                    # A stop came between the marker and the end.
                    Storage.from_wire(assignment.storage).delete(marker(assignment.output))
    except GivenUp as error:
        # Never Cancelled: that is what a person does, and it would be taken for the wish to stop.
        return Failed(message=f"This attempt no longer counts: {error}", data=Decided(str(error)))
    return _state(answer["state"], answer["message"])


def carry_out(door: Door, assignment: Assignment) -> Evidence:
    """Do the attempt; whatever ends it becomes evidence."""
    try:
        with instances_of(door, assignment) as instances:
            evidence = run_to_end(instances)
            with suppress(DoorClosed):  # the end tells it again, and has the patience
                door.stage_out(evidence)
            if is_success(evidence):
                evidence = replace(evidence, model_files=stage_out(instances))
    except GivenUp:
        raise
    except StepFailed as error:
        return Evidence(error.cause, error=str(error), last_lines=error.last_lines)
    except Interrupted:
        return Evidence(Cause.STOPPED)
    except TerminationSignal:
        return Evidence(Cause.CANCELLED if _is_cancelled() else Cause.STOPPED)
    except (NoSpace, Unreachable, LogStoreAway) as error:  # while its folders, its log or its environment are made
        return Evidence(Cause.STORAGE, error=str(error))
    except Exception as error:  # noqa: BLE001 (an attempt that ends without a word would be taken for a lost machine)
        return Evidence(Cause.PLATFORM, error=f"{type(error).__name__}: {error}")
    return evidence


def run_to_end(instances: Sequence[Instance]) -> Evidence:
    """Run the script on all that it needs; one whose model is kept has ended well in an earlier attempt."""
    first = instances[0]
    if first.assignment.before:  # who reads the log from above sees why it begins again
        first.log.say(f"attempt {first.assignment.number} begins; {first.assignment.before}")
    if is_kept(settings.home(), first.assignment.training_id):
        first.say("the script ended with exit code 0 in an earlier attempt; only its model is put in its place")
        return Evidence(Cause.EXIT, exit_code=0)
    python = prepare_image(first)
    stage_in(instances)
    pythons = install(instances, python)
    return run_script(instances, pythons)


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
    root, stop = work_folder(home, assignment.attempt_id), threading.Event()
    storage = Storage.from_wire(assignment.storage)
    made: list[Instance] = []
    try:
        for index in range(count):
            sink = LocalSink(home, assignment.training_id, assignment.number, index)
            log = ScriptLog(sink, assignment.training_id, assignment.number, index)
            rank = Rank(index, count, (LOOPBACK,) * count)
            made.append(Instance(assignment, rank, root / f"instance-{index}", storage, log, door, stop))
        yield made
    finally:
        for one in made:
            with suppress(LogError):  # all that it was told is stored, or was told of as lost
                one.log.close()


@task(cache_policy=NO_CACHE)
def prepare_image(first: Instance) -> Path:
    """See that the image's environment is there; the first training of an image makes it."""
    return environment.of_image(first, settings.home())


@task(cache_policy=NO_CACHE)
def stage_in(instances: Sequence[Instance]) -> None:
    """Bring code, data sets and the checkpoint to go on from."""
    for one in instances:
        staging.stage_in(one, artifacts.progress("Staging in"))
    bring_checkpoint(instances, artifacts.progress("Staging in"))


@task(cache_policy=NO_CACHE)
def install(instances: Sequence[Instance], python: Path) -> list[Path]:
    """Install what the script's requirements.txt asks for, in the attempt's own place."""
    return [environment.with_requirements(one, python) for one in instances]


@task(cache_policy=NO_CACHE)
def run_script(instances: Sequence[Instance], pythons: Sequence[Path]) -> Evidence:
    """Run the script on every instance; the first that fails ends the others, and its evidence counts."""
    of = instances[0].assignment
    mirrored = tensorboard_folder(settings.home(), of.experiment_id, of.spec.name, of.training_id)

    def succeeded() -> None:
        with suppress(OSError):  # staging out tries it again, and tells
            keep(instances[0], settings.home())  # what kills us from here costs no model

    evidence, was_signalled = run_together(instances, pythons, mirrored, get_run_logger().info, succeeded)
    return Evidence(Cause.CANCELLED) if was_signalled and _is_cancelled() else evidence


@task(cache_policy=NO_CACHE)
def stage_out(instances: Sequence[Instance]) -> int:
    """Put the model of instance 0 in its place, and the marker that makes it count; return how many files it has."""
    return delivery.stage_out(instances[0], settings.home(), artifacts.progress("Staging out"))


@task(cache_policy=NO_CACHE)
def tell_end(door: Door, evidence: Evidence) -> dict[str, str]:
    """End the attempt in the records; the answer is what becomes of the training."""
    return door.end(evidence)


def _is_cancelled() -> bool:
    """Say whether a person cancelled this run in Prefect; a worker that was stopped sends the same signal."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return False
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(context.flow_run.id).state
    except Exception:  # noqa: BLE001 (with Prefect away nobody cancelled through it; the controller looks again)
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def _state(state: str, message: str) -> State:
    if state == TrainingState.COMPLETE:
        return Completed(message=message)
    kind = Cancelled if state == TrainingState.STOPPED else Failed
    return kind(message=message, data=Decided(message))
