"""What an instance started with, kept beside its folders: who finishes for a run that was killed needs it too."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from blocks.storage.os_errors import os_faults
from flows.training.checkpoints.provenance import Provenance
from flows.training.checkpoints.snapshot import Part, prefix_of

FILE = "start.json"


class Start(BaseModel):
    """What it was made from, and which files of its checkpoint folder came from other instances' parts."""

    model_config = ConfigDict(frozen=True)
    made_from: Provenance | None = None
    borrowed: dict[str, tuple[int, int]] = {}

    def write(self, root: Path) -> None:
        """Keep it in the instance's folder.

        Raises:
            blocks.storage.errors.StorageError: it cannot be written, as on a disk that is full.
        """
        with os_faults(root / FILE, "write"):
            (root / FILE).write_text(self.model_dump_json(), encoding="utf-8")


def read_start(root: Path) -> Start:
    """Return what an instance started with; one that was killed before it was kept started with nothing."""
    try:
        return Start.model_validate_json((root / FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return Start()


def part_of(root: Path, index: int, count: int) -> Part:
    """Return an instance's part of a checkpoint, from the instance's folder."""
    return Part(root / "checkpoint", prefix_of(index, count), read_start(root).borrowed)


def copy_folder(attempt: Path) -> Path:
    """Return where a snapshot of all parts lies while it is sent, from the attempt's folder."""
    return attempt / "checkpoint-copy"
