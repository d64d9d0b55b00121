"""The main job from Python: code and data to the object store, a training, its curves. `make demo` runs this.

    .venv/bin/emf up && .venv/bin/python docs/examples/digits/demo.py

Each function is a step that a training of your own takes as well: copy what you need and change the paths.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.pools.environments import Environments
from blocks.pools.interpreter import interpreter
from blocks.storage.location import parse
from flows import api

HERE = Path(__file__).parent
CODE = ("train.py", "train_tf.py")
IMAGE, INSTANCE_TYPE = "pytorch-2.13-cpu-py311", "cpu.medium"  # see `emf images` and `emf instance-types`
HYPERPARAMETERS = {"epochs": "20", "learning-rate": "0.005", "batch-size": "32", "hidden": "64"}
MINUTES = 10

console = Console(highlight=False)


def environment(platform: Platform, image: str) -> Path:
    """Return the python that scripts of an image run with. The first training would make it; here you see it grow."""
    environments = Environments(platform.settings.home)
    if environments.installed(image):
        return environments.ensure(image)
    begun = time.monotonic()
    if interpreter().note:
        console.print(f"[yellow]![/] {interpreter().note}")
    with console.status("") as shown:
        python = environments.ensure(image, lambda line: shown.update(f"[dim]environment {image}: {escape(line)}[/]"))
    console.print(f"[green]✓[/] environment {image} made in {time.monotonic() - begun:.0f} s")
    return python


def upload(platform: Platform, python: Path) -> None:
    """Put the data set, once, and the code into containers of the platform's own object store."""
    place = platform.settings.obs  # ("datasets", "digits") -> obs://{endpoint}/datasets/digits
    for container in ("datasets", "code", "trainings"):
        platform.storage.ensure_container(parse(place(container)))
    data = parse(place("datasets", "digits"))
    if not any(platform.storage.entries(data)):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([python, HERE / "prepare.py", folder], check=True, stdout=subprocess.DEVNULL)
            platform.storage.upload(Path(folder), data)
    code = parse(place("code", "digits"))
    platform.storage.upload(HERE, code, skip=lambda name: name not in CODE)
    console.print(f"[green]✓[/] data at {data}")
    console.print(f"[green]✓[/] code at {code}")


def create(platform: Platform) -> dict:
    """Create the experiment, or use the one that is there, and a training in it; it starts when its turn comes."""
    api.create_experiment(name="digits", description="Handwritten digits", if_exists="use")
    earlier = {training["name"] for training in api.list_trainings(experiment="digits", limit=500)}
    names = ("digits", *(f"digits-{number}" for number in range(2, len(earlier) + 3)))
    place = platform.settings.obs
    return api.create_training(
        name=next(name for name in names if name not in earlier),
        experiment="digits",
        algorithm_path=place("code", "digits"),
        entry_point="train.py",
        image=IMAGE,
        instance_type=INSTANCE_TYPE,
        data_sets=[{"name": "digits", "path": place("datasets", "digits")}],  # the script's EM_DATASET_DIGITS
        hyperparameters=HYPERPARAMETERS,
        output_path=place("trainings", "digits"),
        checkpoint_path=place("trainings", "digits-checkpoints"),
        maximum_time="30m",
        tags={"example": "digits"},
    )


def watch(platform: Platform, training: str) -> dict:
    """Show the state, what is being done and the last lines of the log until it has ended; exit where it failed."""

    def picture(found: dict) -> Group:
        head = Text.assemble((f"{found['name']}  {found['state']}", "bold"), f"  {found['message']}")
        lines = [f"  {line.body}" for line in platform.logs.tail(training, 8)]
        return Group(head, Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis"))

    with Live(console=console, auto_refresh=False, transient=True) as live:
        found = api.wait_for(
            training, seconds=MINUTES * 60, tell=lambda known: live.update(picture(known), refresh=True)
        )
    if found["state"] != "COMPLETE":
        last = "\n".join(found["evidence"].get("last_lines", []))
        sys.exit(f"{last}\nThe training {found['name']} is {found['state']} ({found['reason']}): {found['message']}")
    console.print(f"[green]✓[/] {found['name']} is COMPLETE, trained for {found['seconds_trained']:.0f} s")
    return found


def files(platform: Platform, place: str) -> list[str]:
    """Return the names of the files at a place."""
    return [entry.key for entry in platform.storage.entries(parse(place))]


def report(platform: Platform, found: dict, curves: str) -> None:
    """Print what was made, where it lies, and the pages to open."""
    accuracy = platform.tracking.metrics(found["mlflow_run_id"]).get("accuracy", float("nan"))
    checkpoints, scalars = found["checkpoints"], f"{found['output']}/tensorboard"
    made = Table("What was made", "", "Where it is", box=box.SIMPLE_HEAD)
    made.add_row("training", found["name"], found["id"])
    made.add_row("model", ", ".join(files(platform, found["model"])), found["model"])
    made.add_row("checkpoints", f"{len(checkpoints)} kept; the newest:", checkpoints[-1] if checkpoints else "")
    made.add_row("TensorBoard scalars", f"{len(files(platform, scalars))} file(s)", scalars)
    made.add_row("MLflow run", f"final accuracy {accuracy:.4f}", found["mlflow_run_id"])
    made.add_row("log", "", f"emf training logs {found['id']}")
    pages = Table("Pages to open", "", box=box.SIMPLE_HEAD)
    pages.add_row("Prefect, the console", platform.settings.prefect_url)
    pages.add_row("board of trainings", api.board("trainings"))
    pages.add_row("this run", found["pages"]["run"])
    pages.add_row("MLflow", found["pages"]["mlflow"])
    pages.add_row("TensorBoard", curves)
    wide = Console(highlight=False, width=max(console.width, 160))  # a path that is cut cannot be copied
    wide.print(made, pages)


def main() -> None:
    """Take the steps; exit code 1 and the reason where one of them, or the training, fails."""
    platform = Platform()  # the one of EMF_HOME
    image = platform.catalogue.image(IMAGE)
    python = environment(platform, image.environment if image else "pytorch")
    upload(platform, python)
    training = create(platform)
    console.print(f"[green]✓[/] training {training['name']} ({training['id']}) in the experiment digits")
    found = watch(platform, training["id"])
    environment(platform, "tensorboard")
    report(platform, found, api.tensorboard(experiment="digits"))  # all of its trainings, side by side


if __name__ == "__main__":
    try:
        main()
    except BlockError as error:
        sys.exit(str(error))
