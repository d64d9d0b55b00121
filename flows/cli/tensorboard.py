"""`emf tensorboard`."""

from rich.markup import escape

from blocks.platform import Platform
from flows.cli.output import AsJson, console, errors, print_json

IMAGE = "tensorboard"


def tensorboard(training: str = "", experiment: str = "", as_json: AsJson = False) -> None:
    """Open TensorBoard over a training, or over all of an experiment."""
    from flows import api
    from flows.tensorboard.flow import find

    platform = Platform()
    find.fn(platform, training, experiment)  # a wrong name is told before minutes go by
    _make_environment(platform)
    page = api.tensorboard(training, experiment)
    if as_json:
        return print_json({"page": page})
    return console.print(page, markup=False)


def _make_environment(platform: Platform) -> None:
    """Make what the first TensorBoard needs here, where a person sees it grow, and not silently in the flow."""
    from blocks.pools.environments import Environments

    environments = Environments(platform.settings.home)
    if environments.installed(IMAGE):
        return
    with errors.status(f"making the environment {IMAGE}") as shown:
        environments.ensure(IMAGE, lambda line: shown.update(f"environment {IMAGE}: {escape(line)}"))
