"""`emf experiment …`."""

from typing import Annotated, Any

import typer

from blocks.platform import Platform
from flows.change import parse_change
from flows.cli import pairs
from flows.cli.output import AsJson, Cell, Name, coloured, console, print_facts, print_json, print_table
from flows.experiment import reading
from flows.experiment.spec import parse
from flows.faults import ABSENT, Fault, Refused
from flows.markdown import moment

app = typer.Typer(help="Experiments: groups of trainings.", no_args_is_help=True)
Tags = Annotated[list[str], typer.Option("--tag", help="key=value; may be repeated.")]


@app.command("list")
def list_(as_json: AsJson = False, limit: int = 50, offset: int = 0) -> None:
    """List the experiments, newest first."""
    rows, total = reading.look(Platform(), limit, offset)
    if as_json:
        return print_json({"experiments": rows, "total": total})
    lines = [(r["name"], r["id"], coloured(r["state"]), moment(r["created_at"]), str(r["trainings"])) for r in rows]
    return print_table(("name", "id", "state", "created (UTC)", "trainings"), lines, f"{len(rows)} of {total}")


@app.command()
def show(experiment: Name, as_json: AsJson = False) -> None:
    """Show an experiment and its trainings."""
    _print(reading.read(Platform(), experiment), as_json)


@app.command()
def create(
    name: str,
    description: str = "",
    tag: Tags = [],  # noqa: B006
    get: Annotated[bool, typer.Option("--get", help="Use the one of this name if there is one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create an experiment."""
    tags, unread = pairs.read(tag, "tag")
    request = {"name": name, "description": description, "tags": tags}
    if unread:
        raise pairs.refusal(unread, lambda: parse(request))
    from flows import api

    _print(api.create_experiment(**request, if_exists="use" if get else "refuse"), as_json)


@app.command()
def change(
    experiment: Name,
    description: Annotated[str | None, typer.Option(help="The new description.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="All tags, key=value; may be repeated.")] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change the description and the tags."""
    asked = changes(description, tag, no_tags)
    from flows import api

    _print(api.change_experiment(experiment, **asked), as_json)


def changes(description: str | None, tag: list[str] | None, no_tags: bool) -> dict[str, Any]:
    """Return what a change flow is asked; what is not given stays.

    Raises:
        Refused: nothing is given, or a tag cannot be read: with all that is wrong beside it.
    """
    found, unread = pairs.read(tag or [], "tag")
    tags = {} if no_tags else (found if tag else None)
    wanted = {"description": description, "tags": tags}
    given = {field: value for field, value in wanted.items() if value is not None}
    if not given:
        remedy = 'Give --description or --tag; to take them away, give --description "" or --no-tags.'
        raise Refused([Fault("description, tags", ABSENT, "nothing is to change", remedy)])
    if unread:
        raise pairs.refusal(unread, lambda: parse_change(given))
    return {
        "description": description or "",
        "tags": tags or {},
        "change_description": description is not None,
        "change_tags": tags is not None,
    }


@app.command()
def retry(experiment: Name, as_json: AsJson = False) -> None:
    """Try a failed creation again."""
    from flows import api

    _print(api.retry_experiment(experiment), as_json)


@app.command()
def delete(experiment: Name, as_json: AsJson = False) -> None:
    """Delete an experiment that has no trainings."""
    from flows import api

    told = api.delete_experiment(experiment)
    if as_json:
        return print_json({"deleted": experiment, "message": told})
    return console.print(told, markup=False)


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(found)
    facts: list[tuple[str, Cell]] = [("state", coloured(found["state"])), ("id", found["id"])]
    facts += [("description", found["description"])]
    facts += [("tags", ", ".join(f"{k}={v}" for k, v in found["tags"].items())), ("MLflow", found["mlflow_page"])]
    facts += [("trainings", "\n".join(f"{t['id']}  {t['state']}  {t['name']}" for t in found["trainings"]))]
    return print_facts(facts, found["name"])
