"""`emf training …`."""

import json
from typing import Annotated, Any

import typer

from blocks.platform import Platform
from flows.cli import pairs
from flows.cli.experiment import changes
from flows.cli.output import AsJson, Name, Repeated, coloured, console, print_json, print_list
from flows.cli.places import with_places
from flows.cli.training_create import Wait, check_rest, create, print_made, with_hyperparameters
from flows.cli.training_logs import logs
from flows.cli.training_page import print_page
from flows.markdown import duration, moment
from flows.training import reading

SET = "Another setting that differs, key=JSON or text, as in maximum_time=2h; the keys are those of `create --file`."
app = typer.Typer(help="Trainings: your script, your data, a machine.", no_args_is_help=True)
app.command()(create)
app.command()(logs)


@app.command("list")
def list_(
    experiment: str = "",
    state: Annotated[list[str], typer.Option(help="May be repeated.")] = [],  # noqa: B006
    tag: Repeated = [],  # noqa: B006
    limit: int = 50,
    offset: int = 0,
    as_json: AsJson = False,
) -> None:
    """List trainings, newest first."""
    tags = {key: value for text in tag for key, _, value in [text.partition("=")]}
    rows, total = reading.look(Platform(), experiment, [s.upper() for s in state], tags, limit, offset)
    if as_json:
        return print_json({"trainings": rows, "total": total})
    lines = [
        (
            row["name"],
            row["id"],
            coloured(row["state"]),
            moment(row["created_at"])[5:],
            duration(row["seconds_trained"]),
            f"{row['reason']}: {row['message']}" if row["reason"] else row["message"],
        )
        for row in rows
    ]
    head = ("name", "id", "state", "created (UTC)", "trained", "what")
    return print_list(head, lines, f"{len(rows)} of {total}")


@app.command()
def show(training: Name, as_json: AsJson = False) -> None:
    """Show all of a training."""
    print_page(reading.read(Platform(), training), as_json)


@app.command()
def copy(
    training: Name,
    name: str | None = None,
    hp: Annotated[list[str], typer.Option("--hp", help="A hyperparameter that differs, key=value.")] = [],  # noqa: B006
    set_: Annotated[list[str], typer.Option("--set", help=SET)] = [],  # noqa: B006
    request_key: str = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Train again with every setting of a training, any of them changed."""
    given, unread_set = pairs.read(set_, "set")
    parameters, unread_hp = pairs.read(hp, "hp")
    named = {"name": name} if name else {}
    platform = Platform()
    settled = {key.replace("-", "_"): _value(text) for key, text in given.items()}  # as options are written, too
    changed = with_places(platform.settings, settled | named)

    def settings() -> dict[str, Any]:
        before = reading.read(platform, training)
        kept = before["request"] | {"description": before["description"], "tags": before["tags"]}
        return with_hyperparameters(kept | changed, parameters)

    if unread := unread_set + unread_hp:
        raise pairs.refusal(unread, lambda: check_rest(platform, settings() | {"request_key": request_key}))
    if parameters:
        changed["hyperparameters"] = settings()["hyperparameters"]
    from flows import api

    print_made(platform, api.copy_training(training, request_key, **changed), wait, as_json)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@app.command()
def change(
    training: Name,
    description: Annotated[str | None, typer.Option(help="The new description.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="All tags, key=value; may be repeated.")] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change the description and the tags."""
    asked = changes(description, tag, no_tags)
    from flows import api

    print_page(api.change_training(training, **asked), as_json)


@app.command()
def stop(
    training: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop a training; its script gets time to save."""
    from flows import api

    found = api.stop_training(training)
    if wait:
        found = api.wait_for(found["id"], seconds=120)
    if as_json:
        return print_json(found)
    return console.print(f"{found['name']} ({found['id']}) is {found['state']}.", markup=False)


@app.command()
def delete(training: Name, as_json: AsJson = False) -> None:
    """Delete a training that has ended; what it put out stays."""
    from flows import api

    told = api.delete_training(training)
    if as_json:
        return print_json({"deleted": training, "message": told})
    return console.print(told, markup=False)
