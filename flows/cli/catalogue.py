"""`emf images`, `emf instance-types`, `emf catalogue apply`."""

import typer

from blocks.platform import Platform
from blocks.pools.machine import this_machine
from flows.cli.output import AsJson, console, print_json, print_table

app = typer.Typer(help="The operator's images and instance types.", no_args_is_help=True)


def images(as_json: AsJson = False) -> None:
    """List the images that trainings can run in."""
    found = Platform().catalogue.images
    if as_json:
        return print_json([image.model_dump(mode="json") for image in found])
    lines = [(i.name, i.core_type, i.framework, i.framework_version, i.python) for i in found]
    return print_table(("name", "core type", "framework", "version", "Python"), lines)


def instance_types(as_json: AsJson = False) -> None:
    """List the instance types, and whether this machine could ever hold one."""
    found, machine = Platform().catalogue.instance_types, this_machine()
    if as_json:
        return print_json([t.model_dump(mode="json") | {"refused_here": t.fits(machine) or ""} for t in found])
    lines = [
        (
            t.name,
            f"{t.vcpus:g}",
            f"{t.memory_gb:g} GB",
            f"{t.gpus} {t.gpu_kind}",
            f"{t.price_per_hour:g}",
            t.pool,
            t.fits(machine) or "yes",
        )
        for t in found
    ]
    return print_table(("name", "vCPU", "memory", "GPUs", "price per hour", "pool", "fits here"), lines)


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Bring the drop-downs of Prefect's forms up to date with the catalogue."""
    from flows.catalogue_forms import apply as put

    changed = put(Platform())
    if as_json:
        return print_json({"changed": changed})
    return console.print(f"{changed} form(s) were brought up to date.")
