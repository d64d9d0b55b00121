"""`emf storage …`: the platform's own object store and every other place that paths name."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from blocks.platform import Platform
from blocks.storage.errors import NotFound
from blocks.storage.location import DERIVED_LIMIT, Location, parse
from flows.cli.output import AsJson, console, errors, print_json, print_table
from flows.cli.places import written_out
from flows.markdown import size

app = typer.Typer(help="Files in object stores, on NAS and here.", no_args_is_help=True)
Where = Annotated[str, typer.Argument(help="obs://…, nas://… or file://…; CONTAINER/PATH is in the own object store.")]


@app.command()
def make(
    container: Annotated[str, typer.Argument(help="The container's name, or a path in it.")], as_json: AsJson = False
) -> None:
    """Make a container; one that is there stays as it is."""
    platform = Platform()
    place = locate(platform, container)
    platform.storage.ensure_container(place)
    if as_json:
        return print_json({"path": str(place)})
    return console.print(f"{place}", markup=False)


@app.command()
def put(source: Path, where: Where, as_json: AsJson = False) -> None:
    """Copy a file or folder to a place."""
    platform = Platform()
    place = locate(platform, where)
    if source.is_file() and not place.is_folder and _is_folder(platform, place):
        place = place / source.name  # into the folder, as `cp` does: under its name the file would hide it
    with Progress(console=errors, transient=True) as shown:
        task = shown.add_task(escape(f"to {place}"))
        sent = platform.storage.upload(source, place, lambda done, all_: shown.update(task, completed=done, total=all_))
    if as_json:
        return print_json({"path": str(place), "files": sent.files, "bytes": sent.bytes})
    return console.print(f"{sent.files} file(s), {size(sent.bytes)} at {place}", markup=False)


@app.command()
def get(where: Where, folder: Path, as_json: AsJson = False) -> None:
    """Copy what lies at a place into a folder."""
    platform = Platform()
    with Progress(console=errors, transient=True) as shown:
        task = shown.add_task(escape(f"from {where}"))
        got = platform.storage.download(
            locate(platform, where), folder, lambda done, all_: shown.update(task, completed=done, total=all_)
        )
    if as_json:
        return print_json({"folder": str(folder), "files": got.files, "bytes": got.bytes})
    return console.print(f"{got.files} file(s), {size(got.bytes)} in {folder}", markup=False)


@app.command("list")
def list_(where: Where, as_json: AsJson = False) -> None:
    """List the files at a place."""
    platform = Platform()
    found = list(platform.storage.entries(locate(platform, where)))
    if as_json:
        return print_json([{"path": entry.key, "bytes": entry.size} for entry in found])
    if not found:
        return console.print(f"Nothing is at {where}.", markup=False, highlight=False, soft_wrap=True)
    return print_table(("path", "size"), [(entry.key, size(entry.size)) for entry in found])


def _is_folder(platform: Platform, place: Location) -> bool:
    with suppress(NotFound):
        return any(True for _ in platform.storage.entries(parse(f"{place}/", DERIVED_LIMIT)))
    return False


def locate(platform: Platform, where: str) -> Location:
    """Return the place that a word names; without a scheme it is in the platform's own object store."""
    return parse(written_out(platform.settings, where))
