"""The flows of trainings that people run: create, list, show, change, stop, copy, delete, logs.

`train`, the flow that carries a training out, is in `flows.training.run`.
"""

from typing import Annotated, Any

from pydantic import Field

from blocks.platform import Platform
from blocks.records.words import TrainingState
from flows.change import asked
from flows.control import control_flow, show
from flows.experiment import flow as experiment_flow
from flows.experiment.spec import ExperimentSpec
from flows.forms import Forms
from flows.names import Description, PathText, PathTextOrNone, ResourceName
from flows.training import board, work
from flows.training.fields import MOST_DATA_SETS, DataSet, EntryPoint
from flows.training.spec import MOST_CHECKPOINTS, MOST_INSTANCES, MOST_PROCESSES, MOST_STORAGE_GB

State = Annotated[str, Field(json_schema_extra={"enum": [*TrainingState]})]  # a drop-down in Prefect's form


@control_flow("create-training")
async def create_training(  # noqa: PLR0913, PLR0917 (a form has as many fields as it needs)
    name: ResourceName,
    experiment: ResourceName,
    algorithm_path: PathText,
    entry_point: EntryPoint,
    image: str,
    instance_type: str,
    output_path: PathText,
    hyperparameters: dict[str, str] = {},  # noqa: B006 (Prefect shows a JSON editor for it)
    data_sets: Annotated[list[DataSet], Field(max_length=MOST_DATA_SETS)] = [],  # noqa: B006
    checkpoint_path: PathTextOrNone = "",
    checkpoints_kept: Annotated[int, Field(ge=1, le=MOST_CHECKPOINTS)] = 3,
    description: Description = "",
    tags: dict[str, str] = {},  # noqa: B006
    maximum_time: Annotated[str, Field(pattern=r"^\d+h(\d+m)?$|^\d+m$")] = "720h",
    data_storage_gb: Annotated[int, Field(ge=1, le=MOST_STORAGE_GB)] = 10,
    instance_count: Annotated[int, Field(ge=1, le=MOST_INSTANCES)] = 1,
    use_torchrun: bool = False,
    processes_per_node: Annotated[int, Field(ge=1, le=MOST_PROCESSES)] = 1,
    log_management: bool = True,
    request_key: Annotated[str, Field(max_length=255)] = "",
) -> dict[str, Any]:
    """Train your own script on your own data. It is checked and recorded at once, and runs when its machine is free.

    Args:
        name: Its name, at most 50 characters.
        experiment: The experiment that it belongs to, by name; a new name makes a new experiment.
        algorithm_path: The folder of your code, as in obs://{endpoint}/{container}/{path}, nas://{id}:/{path}
            or file:///{path}.
        entry_point: The Python file in that folder to start, as in train.py.
        image: What your script runs in.
        instance_type: How much of a machine it gets.
        output_path: The folder for what it makes; the model comes to {output_path}/{training id}/model.
        hyperparameters: Names and values; your script gets each as --{name} {value}.
        data_sets: At most 10 named inputs; your script finds each at EM_DATASET_{NAME}.
        checkpoint_path: The folder that checkpoints are read from and written to; empty keeps none.
        checkpoints_kept: How many of its newest checkpoints are kept.
        description: What it is about, at most 255 characters.
        tags: At most 10 names with a value each.
        maximum_time: How long it may run, as in 720h, 90m or 1h30m; 720 hours at most.
        data_storage_gb: How large the copy of its data may be on the instance, in GB.
        instance_count: How many instances train together.
        use_torchrun: Start the script with torchrun (PyTorch images only).
        processes_per_node: How many processes torchrun starts on each instance.
        log_management: Send its log to the log service as well; it is always kept on this platform.
        request_key: Any text of yours; sent twice with the same request, there is one training.
    """
    request = {key: value for key, value in locals().items() if key != "request_key"}
    return await create(Platform(), request, request_key)


@control_flow("copy-training")
async def copy_training(
    training: str,
    changes: dict[str, Any] = {},  # noqa: B006
    request_key: str = "",
) -> dict[str, Any]:
    """Train again with every setting of a training, any of them changed.

    Args:
        training: The name or id of the training to copy.
        changes: Settings that are different, as in {"name": "digits-2", "hyperparameters": {"epochs": "40"}}.
        request_key: Any text of yours; sent twice with the same request, there is one training.
    """
    platform = Platform()
    return await create(platform, work.request_of(platform, training) | changes, request_key)


async def create(platform: Platform, request: dict[str, Any], request_key: str) -> dict[str, Any]:
    """Check, record, answer: nothing is held, and a request that was made before is answered with what it made."""
    made = work.already_made(platform, request, request_key)
    if made is None:
        checked = work.check_request(platform, request, request_key)
        group = ExperimentSpec(name=checked.spec.experiment)
        await experiment_flow.ensure(platform, group, use_existing=True)
        made = work.record(platform, checked, request_key)
    found = work.describe(platform, made)
    await show(board.page(found))
    return found


@control_flow("list-trainings")
async def list_trainings(
    experiment: str = "",
    states: list[State] = [],  # noqa: B006
    tags: dict[str, str] = {},  # noqa: B006
    limit: Annotated[int, Field(ge=1, le=500)] = 50,
    offset: Annotated[int, Field(ge=0)] = 0,
) -> list[dict[str, Any]]:
    """List trainings, newest first, as a page among this run's artifacts.

    Args:
        experiment: Only those of this experiment, by name or id.
        states: Only those in one of these states.
        tags: Only those with all of these tags; an empty value means any.
        limit: How many to show at most.
        offset: How many of the newest to leave out.
    """
    platform = Platform()
    rows, total = work.look(platform, experiment, list(states), tags, limit, offset)
    await show(board.table(rows, total, Forms(platform.settings)))
    return rows


@control_flow("show-training")
async def show_training(training: str) -> dict[str, Any]:
    """Show all of a training: its settings, its attempts, what happened, and its last lines.

    Args:
        training: Its name or id.
    """
    found = work.describe(Platform(), training)
    await show(board.page(found))
    return found


@control_flow("change-training")
async def change_training(
    training: str,
    description: str = "",
    tags: dict[str, str] = {},  # noqa: B006
    change_description: bool = False,
    change_tags: bool = False,
) -> dict[str, Any]:
    """Change the description and the tags of a training; MLflow's copy follows within seconds.

    Args:
        training: Its name or id.
        description: The new description, at most 255 characters.
        tags: The new tags, all of them.
        change_description: Needed only to empty the description: an empty one changes nothing otherwise.
        change_tags: Needed only to take all tags away: no tags change nothing otherwise.
    """
    wanted = asked(description, tags, change_description=change_description, change_tags=change_tags)
    platform = Platform()
    work.change(platform, training, wanted)
    found = work.describe(platform, training)
    await show(board.page(found))
    return found


@control_flow("stop-training")
async def stop_training(training: str) -> dict[str, Any]:
    """Stop a training. Its script gets SIGTERM and time to save; what it saved is kept.

    Args:
        training: Its name or id.
    """
    platform = Platform()
    work.wish_stop(platform, training)
    found = work.describe(platform, training)
    await show(board.page(found))
    return found


@control_flow("delete-training")
async def delete_training(training: str) -> str:
    """Delete a training that has ended: its record, log, TensorBoard files and MLflow run; not what it put out.

    A model that its place refused, and that is kept on this platform therefore, goes with it.

    Args:
        training: Its name or id.
    """
    platform = Platform()
    training_id = work.begin_delete(platform, training)
    work.remove(platform, training_id)
    work.forget(platform, training_id)
    return f"The training {training} is deleted; what it wrote to its output and checkpoint paths is still there."


@control_flow("training-logs")
async def training_logs(training: str, lines: Annotated[int, Field(ge=1, le=5000)] = 200) -> str:
    """Show the last lines of a training's log, as a page among this run's artifacts.

    Args:
        training: Its name or id.
        lines: How many lines.
    """
    text = work.tail(Platform(), training, lines)
    await show(board.log_page(training, text))
    return text
