"""`emf tensorboard`."""

from flows.cli.output import AsJson, console, print_json


def tensorboard(training: str = "", experiment: str = "", as_json: AsJson = False) -> None:
    """Open TensorBoard over a training, or over all of an experiment."""
    from flows import api

    page = api.tensorboard(training, experiment)
    if as_json:
        return print_json({"page": page})
    return console.print(page, markup=False)
