"""`emf training create`: a request from options, from a file, or from both."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from blocks.platform import Platform
from flows.cli import pairs
from flows.cli.output import AsJson, Repeated
from flows.cli.places import with_places
from flows.cli.training_logs import Lines, follow
from flows.cli.training_page import print_page
from flows.faults import Fault, Refused
from flows.training import reading
from flows.training.spec import TrainingSpec

FIELDS = frozenset({*TrainingSpec.model_fields, "request_key"})
"""The options that go into the request under their own names."""
Wait = Annotated[bool, typer.Option("--wait", help="Follow its log until it has ended.")]


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
    checkpoints_kept: int | None = None,
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
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Create a training."""
    given = {option: value for option, value in ctx.params.items() if option in FIELDS and value is not None}
    request, unread = _with_pairs(_request_file(file) | given, hp, data_set, tag)
    platform = Platform()
    request = with_places(platform.settings, request)
    if unread:
        raise pairs.refusal(unread, lambda: check_rest(platform, request))
    from flows import api

    print_made(platform, api.create_training(**request), wait, as_json)


def check_rest(platform: Platform, request: Mapping[str, Any]) -> None:
    """Check what could be read of a request; nothing is recorded. Raises `Refused` with every fault."""
    from blocks.pools.machine import this_machine
    from flows.training.check import check

    fields = {key: value for key, value in request.items() if key != "request_key"}
    check(platform, fields, this_machine(), request.get("request_key", ""))


def print_made(platform: Platform, made: dict[str, Any], wait: bool, as_json: bool) -> None:
    """Print a new training, where that is asked for when it has ended; then exit code 1 says that it failed."""
    if wait:
        of_several = made["request"]["instance_count"] > 1
        follow(platform, made["id"], of=Lines(on_stderr=as_json, of_several=of_several))
        made = reading.read(platform, made["id"])
    print_page(made, as_json)
    if wait and made["state"] != "COMPLETE":
        raise typer.Exit(1)


def _request_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise Refused([Fault("file", str(file), problem, "Name a file with the request.")]) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        problem = f"is neither YAML nor JSON: {' '.join(str(error).split())}"
        raise Refused([Fault("file", str(file), problem, "Correct it there.")]) from error
    if not isinstance(found, dict):
        raise Refused([Fault("file", str(file), "holds no fields and values", "Write name: …, experiment: …")])
    return {str(key): value for key, value in found.items()}  # pyright: ignore


def _with_pairs(
    request: dict[str, Any], hp: list[str], data_set: list[str], tag: list[str]
) -> tuple[dict[str, Any], list[Fault]]:
    """Put in what is given as key=value; return the request, and what is wrong with words that could not be read."""
    parameters, unread_hp = pairs.read(hp, "hp")
    paths, unread_data_set = pairs.read(data_set, "data-set")
    tags, unread_tag = pairs.read(tag, "tag")
    request = with_hyperparameters(request, parameters)
    if data_set:
        request["data_sets"] = [{"name": key, "path": path} for key, path in paths.items()]
    if tag:
        request["tags"] = tags
    return request, unread_hp + unread_data_set + unread_tag


def with_hyperparameters(request: dict[str, Any], given: dict[str, str]) -> dict[str, Any]:
    """Return the request with hyperparameters put beside its own; what is no mapping stays, for the check."""
    before: Any = request.get("hyperparameters") or {}
    return request | {"hyperparameters": before | given} if given and isinstance(before, dict) else request
