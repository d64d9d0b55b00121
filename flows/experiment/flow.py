"""The flows of experiments: create, list, show, change, retry, delete."""

import shutil
from typing import Annotated, Any, Literal

from pydantic import Field

from blocks.errors import Permanent, Temporary
from blocks.platform import Platform
from blocks.records import changes, experiments
from blocks.records.tables import Experiment
from blocks.records.transitions import transition
from blocks.records.words import ExperimentState, Reason
from flows.change import asked, parse_change
from flows.control import control_flow, show, verb
from flows.experiment import board, reading, spec
from flows.forms import Forms
from flows.names import Description, ResourceName
from flows.tensorboard import service as tensorboard

S = ExperimentState
CREATING = (S.CREATE_IN_PROGRESS, S.ACTIVE, S.CREATE_FAILED)


@control_flow("create-experiment")
async def create_experiment(
    name: ResourceName,
    description: Description = "",
    tags: dict[str, str] = {},  # noqa: B006 (Prefect shows a JSON editor for it)
    if_exists: Literal["refuse", "use"] = "refuse",
) -> dict[str, Any]:
    """Create an experiment: a group of trainings that are looked at together.

    Args:
        name: Its name, at most 50 characters; no other experiment may have it.
        description: What it is about, at most 255 characters.
        tags: At most 10 names with a value each.
        if_exists: What to do when there is one with this name: refuse, or use that one as it is.
    """
    platform = Platform()
    wanted = check(name=name, description=description, tags=tags)
    made = await ensure(platform, wanted, use_existing=if_exists == "use")
    await show(board.page(made))
    return made


@control_flow("list-experiments")
async def list_experiments(
    limit: Annotated[int, Field(ge=1, le=500)] = 50, offset: Annotated[int, Field(ge=0)] = 0
) -> list[dict[str, Any]]:
    """List the experiments, newest first, as a page among this run's artifacts.

    Args:
        limit: How many to show at most.
        offset: How many of the newest to leave out.
    """
    platform = Platform()
    rows, total = look(platform, limit, offset)
    await show(board.table(rows, total, Forms(platform.settings)))
    return rows


@control_flow("show-experiment")
async def show_experiment(experiment: str) -> dict[str, Any]:
    """Show an experiment: its trainings, what happened to it, its page in MLflow.

    Args:
        experiment: Its name or id.
    """
    found = describe(Platform(), experiment)
    await show(board.page(found))
    return found


@control_flow("change-experiment")
async def change_experiment(
    experiment: str,
    description: str = "",
    tags: dict[str, str] = {},  # noqa: B006
    change_description: bool = False,
    change_tags: bool = False,
) -> dict[str, Any]:
    """Change the description and the tags of an experiment; MLflow's copy follows within seconds.

    Args:
        experiment: Its name or id.
        description: The new description, at most 255 characters.
        tags: The new tags, all of them.
        change_description: Needed only to empty the description: an empty one changes nothing otherwise.
        change_tags: Needed only to take all tags away: no tags change nothing otherwise.
    """
    wanted = asked(description, tags, change_description=change_description, change_tags=change_tags)
    platform = Platform()
    change(platform, experiment, wanted)
    return await _show_again(platform, experiment)


@control_flow("retry-experiment")
async def retry_experiment(experiment: str) -> dict[str, Any]:
    """Try the creation of an experiment again that failed.

    Args:
        experiment: Its name or id.
    """
    platform = Platform()
    experiment_id = begin_again(platform, experiment)
    finish_creation(platform, experiment_id)
    return await _show_again(platform, experiment_id)


@control_flow("delete-experiment")
async def delete_experiment(experiment: str) -> str:
    """Delete an experiment that has no trainings, with its MLflow experiment.

    Args:
        experiment: Its name or id.
    """
    platform = Platform()
    experiment_id = begin_delete(platform, experiment)
    remove_from_mlflow(platform, experiment_id)
    forget(platform, experiment_id)
    return f"The experiment {experiment} is deleted."


async def ensure(platform: Platform, asked: spec.ExperimentSpec, *, use_existing: bool) -> dict[str, Any]:
    """Return the experiment of that name, made if it is not there; killed on the way, it can be called again."""
    experiment_id, is_ready = record(platform, asked, use_existing)
    if not is_ready:  # new, failed, or being made by another run: two that make it make the same one
        finish_creation(platform, experiment_id)
    return describe(platform, experiment_id)


@verb
def check(**raw: Any) -> spec.ExperimentSpec:
    """Check the request; every fault at once."""
    return spec.parse(raw)


@verb
def record(platform: Platform, asked: spec.ExperimentSpec, use_existing: bool) -> tuple[str, bool]:
    """Record the experiment, or find it; returns its id and whether it is ACTIVE."""
    with platform.records.writing() as session:
        found = experiments.lookup(session, asked.name)
        if found is not None and use_existing:
            return found.id, found.state == S.ACTIVE
        return experiments.record(session, asked.name, asked.description, asked.tags).id, False


def finish_creation(platform: Platform, experiment_id: str) -> None:
    """Give the experiment its place in MLflow; without one it is CREATE_FAILED, and can be retried.

    Raises:
        NotAllowed: it is being deleted.
    """
    _move(platform, experiment_id, S.CREATE_IN_PROGRESS)
    try:
        mlflow_id = create_in_mlflow(platform, experiment_id)
    except (Permanent, Temporary) as error:
        _move(platform, experiment_id, S.CREATE_FAILED, Reason.PLATFORM, f"MLflow has no place for it: {error}")
        raise
    _move(platform, experiment_id, S.ACTIVE, mlflow_id=mlflow_id)


@verb
def create_in_mlflow(platform: Platform, experiment_id: str) -> str:
    """Make the MLflow experiment; asked again, it is the same one."""
    with platform.records.reading() as session:
        row = experiments.find(session, experiment_id)
    mlflow_id = platform.tracking.ensure_experiment(row.id, row.name, row.tags)
    if row.description:
        platform.tracking.change_experiment(mlflow_id, row.description, row.tags)
    return mlflow_id


look = verb(reading.look)
describe = verb(reading.read)


@verb
def change(platform: Platform, experiment: str, wanted: dict[str, object]) -> None:
    """Change the record; the controller tells MLflow."""
    wish = parse_change(wanted)
    with platform.records.writing() as session:
        changes.change(session, reading.find(session, experiment), description=wish.description, tags=wish.tags)


@verb
def begin_again(platform: Platform, experiment: str) -> str:
    """Check that its creation failed; returns its id."""
    with platform.records.writing() as session:
        row = reading.find(session, experiment)
        if row.state in (S.CREATE_REQUESTED, S.CREATE_IN_PROGRESS):
            return row.id  # its creation was killed on the way
        transition(session, row, S.CREATE_IN_PROGRESS)
        return row.id


@verb
def begin_delete(platform: Platform, experiment: str) -> str:
    """Close the experiment to new trainings; returns its id."""
    with platform.records.writing() as session:
        row = reading.find(session, experiment)
        experiments.begin_delete(session, row)
        return row.id


def remove_from_mlflow(platform: Platform, experiment_id: str) -> None:
    """Remove what stands behind it; where that fails it is DELETE_FAILED, and can be deleted again."""
    try:
        delete_in_mlflow(platform, experiment_id)
    except (Permanent, Temporary) as error:
        _move(platform, experiment_id, S.DELETE_FAILED, Reason.PLATFORM, str(error))
        raise


@verb
def delete_in_mlflow(platform: Platform, experiment_id: str) -> None:
    """Delete its MLflow experiment, its TensorBoard and that one's files; what is gone is gone."""
    with platform.records.reading() as session:
        row = experiments.find(session, experiment_id)
    if row.mlflow_id:
        platform.tracking.delete_experiment(row.mlflow_id)
    tensorboard.close(platform, experiment_id)
    shutil.rmtree(platform.settings.home / "tensorboard" / experiment_id, ignore_errors=True)


@verb
def forget(platform: Platform, experiment_id: str) -> None:
    """Remove the record."""
    with platform.records.writing() as session:
        row = experiments.lookup(session, experiment_id)
        if row is not None:
            experiments.forget(session, row)


def _move(
    platform: Platform,
    experiment_id: str,
    to: ExperimentState,
    reason: Reason | None = None,
    message: str = "",
    mlflow_id: str = "",
) -> None:
    with platform.records.writing() as session:
        row: Experiment = experiments.find(session, experiment_id)
        if row.state == S.ACTIVE and to in CREATING:
            return  # another run was quicker: what it made is there
        if mlflow_id:
            row.mlflow_id = mlflow_id
            if row.state == S.CREATE_FAILED:  # another run's try, meanwhile
                transition(session, row, S.CREATE_IN_PROGRESS)
        if row.state != to:
            transition(session, row, to, reason=reason, message=message)


async def _show_again(platform: Platform, experiment: str) -> dict[str, Any]:
    found = describe(platform, experiment)
    await show(board.page(found))
    return found
