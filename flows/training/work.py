"""The verbs that the flows of trainings are sentences of. Each does one thing and can be run twice."""

import shutil
from collections.abc import Mapping
from typing import Any

from blocks.errors import Permanent, Temporary
from blocks.platform import Platform
from blocks.pools.machine import this_machine
from blocks.records import changes, experiments, trainings
from blocks.records.tables import Training
from blocks.records.transitions import note, transition
from blocks.records.words import Reason, TrainingState
from flows.change import parse_change
from flows.control import verb
from flows.tensorboard import service as tensorboard
from flows.training import reading
from flows.training.check import Checked, check
from flows.training.fields import request_key_faults
from flows.training.instances.kept import kept_folder
from flows.training.spec import TrainingSpec, digest


@verb
def check_request(platform: Platform, request: Mapping[str, object], request_key: str) -> Checked:
    """Check everything at once."""
    return check(platform, request, this_machine(), request_key)


@verb
def already_made(platform: Platform, request: Mapping[str, object], request_key: str) -> str | None:
    """Return the id of the training that this key and request made before, or None."""
    if not request_key or request_key_faults(request_key):
        return None
    try:
        spec = TrainingSpec.model_validate(request)
    except ValueError:
        return None  # what is wrong with it is told by the check
    with platform.records.reading() as session:
        row = trainings.by_key(session, request_key, digest(spec))
        return row.id if row else None


@verb
def record(platform: Platform, checked: Checked, request_key: str) -> str:
    """Record the training and return its id; the controller takes it from there."""
    spec = checked.spec
    with platform.records.writing() as session:
        found = trainings.by_key(session, request_key, digest(spec))
        if found is not None:
            return found.id
        experiment = experiments.find(session, spec.experiment)
        row = trainings.record(
            session, experiment, spec.model_dump(mode="json"), request_key=request_key, digest=digest(spec)
        )
        for warning in checked.warnings:
            note(session, row, f"Warning: {warning}")
        return row.id


@verb
def request_of(platform: Platform, training: str) -> dict[str, Any]:
    """Return the request of a training, as it was accepted, with its description and tags as they are now."""
    with platform.records.reading() as session:
        row = reading.find(session, training)
        return {**row.request, "description": row.description, "tags": row.tags}


describe = verb(reading.read)


look = verb(reading.look)


@verb
def change(platform: Platform, training: str, wanted: Mapping[str, object]) -> None:
    """Change the record; the controller tells MLflow."""
    wish = parse_change(wanted)
    with platform.records.writing() as session:
        changes.change(session, reading.find(session, training), description=wish.description, tags=wish.tags)


@verb
def wish_stop(platform: Platform, training: str) -> None:
    """Write the wish down; the run obeys within seconds."""
    with platform.records.writing() as session:
        trainings.wish_stop(session, reading.find(session, training))


@verb
def begin_delete(platform: Platform, training: str) -> str:
    """Move it to DELETE_IN_PROGRESS; returns its id."""
    with platform.records.writing() as session:
        row = reading.find(session, training)
        trainings.begin_delete(session, row)
        return row.id


def remove(platform: Platform, training_id: str) -> None:
    """Remove what belongs to it outside the records; where that fails it is DELETE_FAILED, and can be deleted again."""
    try:
        remove_what_belongs_to(platform, training_id)
    except (Permanent, Temporary) as error:
        with platform.records.writing() as session:
            row = trainings.find(session, training_id)
            transition(session, row, TrainingState.DELETE_FAILED, reason=Reason.PLATFORM, message=str(error))
        raise


@verb
def remove_what_belongs_to(platform: Platform, training_id: str) -> None:
    """Remove its MLflow run, its TensorBoard, its mirror, its log and a model that was kept; what is gone is gone."""
    with platform.records.reading() as session:
        row = trainings.find(session, training_id)
    if row.mlflow_run_id:
        platform.tracking.delete_run(row.mlflow_run_id)
    tensorboard.close(platform, training_id)
    shutil.rmtree(tensorboard.folder(platform.settings.home, row.experiment_id, row.name, row.id), ignore_errors=True)
    shutil.rmtree(kept_folder(platform.settings.home, training_id).parent, ignore_errors=True)
    platform.logs.delete(training_id)


@verb
def forget(platform: Platform, training_id: str) -> None:
    """Remove the record."""
    with platform.records.writing() as session:
        row = session.get(Training, training_id)
        if row is not None:
            trainings.forget(session, row)


@verb
def tail(platform: Platform, training: str, lines: int) -> str:
    """Return the last lines of its log."""
    with platform.records.reading() as session:
        row = reading.find(session, training)
    of_several = reading.instances(row) > 1
    return "\n".join(reading.line_of(line, of_several=of_several) for line in platform.logs.tail(row.id, lines))
