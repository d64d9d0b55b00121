"""The marker that makes a model count: `{output}/{training id}/model.json`, written last and by the lease's holder."""

import json
from pathlib import Path

from blocks.storage.location import DERIVED_LIMIT, Location, parse
from flows.training.checkpoints.manifest import files_of
from flows.training.instances.instance import Instance


def marker(output: str) -> Location:
    """Return where the marker of a training's output lies."""
    return parse(f"{output}/model.json", DERIVED_LIMIT)


def mark(instance: Instance, folder: Path) -> None:
    """Write what the model in a folder is made of: every file with its size in bytes and its sha256."""
    assignment = instance.assignment
    listed = files_of(folder, parse(f"{assignment.output}/model/", DERIVED_LIMIT))
    files = [one.model_dump() for one in listed]
    said = {"training": assignment.training_id, "attempt": assignment.number, "files": files}
    instance.storage.write(marker(assignment.output), json.dumps(said, indent=1).encode())


def unmark(instance: Instance) -> None:
    """Take the marker away from an output that did not become a model after all; none is fine."""
    instance.storage.delete(marker(instance.assignment.output))
