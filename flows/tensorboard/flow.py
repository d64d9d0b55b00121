"""The flow that opens TensorBoard."""

from pathlib import Path

from prefect.logging import get_run_logger

from blocks.platform import Platform
from flows.control import control_flow, show, verb
from flows.experiment import reading as experiments
from flows.faults import Fault, Refused
from flows.tensorboard import service
from flows.training import reading as trainings


@control_flow("tensorboard")
async def tensorboard(training: str = "", experiment: str = "") -> str:
    """Open TensorBoard over one training, or over all trainings of an experiment. It ends after 60 idle minutes.

    Args:
        training: The name or id of a training; or leave it empty and name an experiment.
        experiment: The name or id of an experiment.
    """
    platform = Platform()
    resource_id, folder = find(platform, training, experiment)
    page = open_over(platform, resource_id, folder)
    await show(f"### TensorBoard\n\n[{page}]({page})")
    return page


@verb
def find(platform: Platform, training: str, experiment: str) -> tuple[str, Path]:
    """Return whom it is for, and the folder that it reads."""
    if bool(training) == bool(experiment):
        problem = "both are given" if training else "neither is given"
        raise Refused([Fault("training, experiment", [training, experiment], problem, "Give one of the two.")])
    home = platform.settings.home
    with platform.records.reading() as session:
        if experiment:
            group = experiments.find(session, experiment)
            return group.id, home / "tensorboard" / group.id
        row = trainings.find(session, training)
        return row.id, service.folder(home, row.experiment_id, row.name, row.id)


@verb
def open_over(platform: Platform, resource_id: str, folder: Path) -> str:
    """Open it and return its page; what its environment is made of, the first time, is in the run's log."""
    return service.start(platform, resource_id, folder, get_run_logger().info)
