"""The terminal's door: `emf`.

Lists and pages are read from the records and answer at once; what changes something runs its flow here, as a run of
the platform's Prefect, and only then is Prefect loaded.
"""

import json
import os
import sys
from importlib.metadata import entry_points

import typer

from blocks.errors import BlockError
from blocks.proxies import exceptions
from flows.cli import catalogue, experiment, reconcile, storage, tensorboard, training
from flows.cli.output import fail
from flows.faults import ABSENT, Refused, shown
from flows.utf8 import utf8_faults

app = typer.Typer(
    name="emf", help="EasyMaker Flows: experiments and trainings on your own machine.", no_args_is_help=True
)
app.add_typer(experiment.app, name="experiment")
app.add_typer(training.app, name="training")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(storage.app, name="storage")
app.command("images")(catalogue.images)
app.command("instance-types")(catalogue.instance_types)
app.command("tensorboard")(tensorboard.tensorboard)
app.command("reconcile")(reconcile.reconcile)


def main() -> None:
    """Run `emf`. Exit codes: 0 done, 1 it could not be done, 2 the request is wrong."""
    for command in entry_points(group="emf.commands"):
        command.load()(app)
    os.environ.update(exceptions(os.environ))
    try:
        _refuse_what_is_no_text(sys.argv[1:])
        app()
    except (Refused, BlockError) as error:
        if "--json" in sys.argv[1:]:
            typer.echo(error_line(error))
        fail(str(error), 2 if isinstance(error, Refused) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def error_line(error: Refused | BlockError) -> str:
    """Return an error as one line of JSON, as `logs --json` has it too; values as a person is shown them, or null."""
    faults = [
        {
            "field": f.field,
            "value": None if f.value is ABSENT else shown(f.value),
            "problem": f.problem,
            "remedy": f.remedy,
        }
        for f in (error.faults if isinstance(error, Refused) else [])
    ]
    return json.dumps({"error": str(error), "faults": faults})  # in ASCII: a fault may hold what is no text


def _refuse_what_is_no_text(arguments: list[str]) -> None:
    if faults := utf8_faults({"argument": arguments}):
        raise Refused(faults)
