"""`emf training …`, `emf tensorboard`, `emf reconcile`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from blocks.platform import Platform
from blocks.records import trainings
from blocks.records.words import TERMINAL
from flows.cli.experiment import changes
from flows.cli.output import AsJson, Cell, coloured, console, pairs, print_json, print_list, print_table
from flows.cli.storage import written_out
from flows.faults import Fault, Refused
from flows.markdown import duration, moment
from flows.training import reading

app = typer.Typer(help="Trainings: your script, your data, a machine.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Its name or id.")]
Repeated = Annotated[list[str], typer.Option(help="key=value; may be repeated.")]


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
    _print(reading.read(Platform(), training), as_json)


@app.command()
def create(  # noqa: PLR0913, PLR0917
    file: Annotated[Path | None, typer.Option(help="A request as YAML or JSON; options go before it.")] = None,
    name: str | None = None,
    experiment: str | None = None,
    algorithm_path: str | None = None,
    entry_point: str | None = None,
    image: str | None = None,
    instance_type: str | None = None,
    output_path: str | None = None,
    checkpoint_path: str | None = None,
    description: str | None = None,
    maximum_time: str | None = None,
    data_storage_gb: int | None = None,
    instance_count: int | None = None,
    processes_per_node: int | None = None,
    use_torchrun: Annotated[bool | None, typer.Option("--use-torchrun/--no-torchrun")] = None,
    log_management: Annotated[bool | None, typer.Option("--log-management/--no-log-management")] = None,
    hp: Annotated[list[str], typer.Option("--hp", help="A hyperparameter, key=value; may be repeated.")] = [],  # noqa: B006
    data_set: Annotated[list[str], typer.Option(help="name=path; may be repeated.")] = [],  # noqa: B006
    tag: Repeated = [],  # noqa: B006
    request_key: str | None = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow its log until it has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create a training."""
    given = {key: value for key, value in locals().items() if value not in (None, [])}
    for ours in ("file", "hp", "data_set", "tag", "wait", "as_json"):
        given.pop(ours, None)
    request = _request_file(file) | given
    before: Any = request.get("hyperparameters") or {}
    if hp and isinstance(before, dict):  # anything else is told as a fault, with all others
        request["hyperparameters"] = before | pairs(hp, "hp")
    if data_set:
        request["data_sets"] = [{"name": key, "path": path} for key, path in pairs(data_set, "data-set").items()]
    if tag:
        request["tags"] = pairs(tag, "tag")
    from flows import api

    made = api.create_training(**_with_places(request))
    if wait:
        _follow(made["id"])
        made = reading.read(Platform(), made["id"])
    _print(made, as_json)
    if wait and made["state"] != "COMPLETE":
        raise typer.Exit(1)


def _request_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refused([Fault("file", str(file), f"cannot be read: {error}", "Give YAML or JSON.")]) from error
    if not isinstance(found, dict):
        raise Refused([Fault("file", str(file), "holds no fields and values", "Write name: …, experiment: …")])
    return {str(key): value for key, value in found.items()}  # pyright: ignore


def _with_places(request: dict[str, Any]) -> dict[str, Any]:
    """Let CONTAINER/PATH stand for a path in the platform's own object store."""
    platform = Platform()

    def whole(path: Any) -> Any:
        return written_out(platform, path) if isinstance(path, str) and _is_short(path) else path

    for field in ("algorithm_path", "output_path", "checkpoint_path"):
        if field in request:
            request[field] = whole(request[field])
    data_sets = request.get("data_sets")
    for entry in data_sets if isinstance(data_sets, list) else []:  # pyright: ignore
        if isinstance(entry, dict) and "path" in entry:
            entry["path"] = whole(entry["path"])
    return request


def _is_short(path: str) -> bool:
    return "://" not in path and not path.startswith(("/", ".")) and "/" in path


@app.command()
def copy(
    training: Name,
    name: str | None = None,
    hp: Annotated[list[str], typer.Option("--hp", help="A hyperparameter that differs, key=value.")] = [],  # noqa: B006
    set_: Annotated[list[str], typer.Option("--set", help="Another setting that differs, key=JSON or text.")] = [],  # noqa: B006
    request_key: str = "",
    as_json: AsJson = False,
) -> None:
    """Train again with every setting of a training, any of them changed."""
    changed: dict[str, Any] = {key: _value(text) for key, text in pairs(set_, "set").items()}
    if name:
        changed["name"] = name
    if hp:
        before = reading.read(Platform(), training)["request"]["hyperparameters"]
        changed["hyperparameters"] = before | pairs(hp, "hp")
    from flows import api

    _print(api.copy_training(training, request_key, **changed), as_json)


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
    from flows.training.flow import change_training

    _print(api.call(change_training, {"training": training} | asked), as_json)


@app.command()
def stop(training: Name, wait: Annotated[bool, typer.Option("--wait", help="Wait until it has.")] = False) -> None:
    """Stop a training; its script gets time to save."""
    from flows import api

    found = api.stop_training(training)
    if wait:
        found = api.wait_for(found["id"], seconds=120)
    console.print(f"{found['name']} ({found['id']}) is {found['state']}.", markup=False)


@app.command()
def delete(training: Name) -> None:
    """Delete a training that has ended; what it put out stays."""
    from flows import api

    console.print(api.delete_training(training), markup=False)


@app.command()
def logs(
    training: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training has ended.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines; 0 means all.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print a training's log."""
    platform = Platform()
    with platform.records.reading() as session:
        training_id = trainings.find(session, training).id
    if follow:
        return _follow(training_id)
    found = platform.logs.tail(training_id, lines) if lines else platform.logs.follow(training_id, lambda: True)
    for line in found:
        typer.echo(json.dumps(line._asdict(), default=str, ensure_ascii=False) if as_json else line.body)
    return None


def _follow(training_id: str) -> None:
    platform = Platform()

    def has_ended() -> bool:
        with platform.records.reading() as session:
            return trainings.find(session, training_id).state in TERMINAL

    for line in platform.logs.follow(training_id, has_ended):
        typer.echo(line.body)


def tensorboard(training: str = "", experiment: str = "", as_json: AsJson = False) -> None:
    """Open TensorBoard over a training, or over all of an experiment."""
    from flows import api

    page = api.tensorboard(training, experiment)
    if as_json:
        return print_json({"page": page})
    return console.print(page, markup=False)


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the records with the world, and put right what differs."""
    from flows import api
    from flows.reconcile.flow import reconcile as flow

    found = api.call(flow, {"dry_run": dry_run})
    if as_json:
        return print_json(found)
    return print_table(("attempt", "repair", "what"), [(f["attempt"], f["repair"], f["what"]) for f in found])


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(found)
    facts: list[tuple[str, Cell]] = [
        ("state", coloured(found["state"]) + (f" ({found['reason']})" if found["reason"] else "")),
        ("what", found["message"]),
        ("id", found["id"]),
        ("experiment", found["experiment"]),
        ("trained", f"{duration(found['seconds_trained'])} of {found['request']['maximum_time']}"),
        ("hyperparameters", ", ".join(f"{k}={v}" for k, v in found["request"]["hyperparameters"].items())),
        ("tags", ", ".join(f"{k}={v}" for k, v in found["tags"].items())),
        ("model", found["model"] if found["state"] == "COMPLETE" else ""),
        ("checkpoints", "\n".join(found["checkpoints"])),
        *found["pages"].items(),
        ("last lines", "\n".join(found["evidence"].get("last_lines", [])) if "FAIL" in found["state"] else ""),
    ]
    print_table(("", ""), [(name, value) for name, value in facts if value], found["name"])
    events = [(moment(e["time"]), coloured(e["state"]) if e["state"] else "", e["message"]) for e in found["events"]]
    return print_table(("when (UTC)", "", "what happened"), events)
