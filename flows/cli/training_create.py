"""`emf training create`: a request from options, from a file, or from both."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from blocks.platform import Platform
from flows.cli.output import AsJson, Repeated, pairs
from flows.cli.places import with_places
from flows.cli.training_logs import follow
from flows.cli.training_page import print_page
from flows.faults import Fault, Refused
from flows.training import reading
from flows.training.spec import TrainingSpec

FIELDS = frozenset({*TrainingSpec.model_fields, "request_key"})
"""The options that go into the request under their own names."""


def create(  # noqa: PLR0913, PLR0917
    ctx: typer.Context,
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
    given = {option: value for option, value in ctx.params.items() if option in FIELDS and value is not None}
    request = _with_pairs(_request_file(file) | given, hp, data_set, tag)
    platform = Platform()
    from flows import api

    made = api.create_training(**with_places(platform.settings, request))
    if wait:
        follow(platform, made["id"], on_stderr=as_json)
        made = reading.read(platform, made["id"])
    print_page(made, as_json)
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


def _with_pairs(request: dict[str, Any], hp: list[str], data_set: list[str], tag: list[str]) -> dict[str, Any]:
    """Put in what is given as key=value: a hyperparameter beside those of the file, the others in their place."""
    before: Any = request.get("hyperparameters") or {}
    if hp and isinstance(before, dict):  # anything else is told as a fault, with all others
        request["hyperparameters"] = before | pairs(hp, "hp")
    if data_set:
        request["data_sets"] = [{"name": key, "path": path} for key, path in pairs(data_set, "data-set").items()]
    if tag:
        request["tags"] = pairs(tag, "tag")
    return request
