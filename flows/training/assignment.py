"""What the controller hands to the run that claims an attempt: all that an instance needs, and no more.

It travels once, over loopback or the cluster's network, and stays in the run's memory: it carries the keys of the
object stores that this training names.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from blocks.storage.location import DERIVED_LIMIT, parse
from flows.training.checkpoints.paths import OWN_FOLDER
from flows.training.spec import TrainingSpec


class Tracked(BaseModel):
    """Where the script's MLflow run is."""

    model_config = ConfigDict(extra="forbid")
    tracking_uri: str
    experiment_id: str
    run_id: str


class Assignment(BaseModel):
    """One attempt at a training."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    attempt_id: str
    number: int
    training_id: str
    experiment_id: str
    spec: TrainingSpec
    environment: str = Field(description="The image's folder under images/, such as `pytorch`.")
    framework: str
    vcpus: float
    memory_bytes: int
    gpus: list[str]
    seconds_left: float = Field(description="What remains of the maximum training time.")
    before: str = Field("", description="How the attempt before this one ended, as a person is told.")
    resume_from: list[str] = Field([], description="The committed checkpoints of earlier attempts, the newest first.")
    storage: dict[str, Any] = Field(repr=False, description="Endpoints and their keys, as `Storage.from_wire` reads.")
    tracked: Tracked
    region: str
    app_key: str
    grace_seconds: int

    @property
    def output(self) -> str:
        """The folder of this training below its output path: `{output}/{training id}`."""
        return output_of(self.spec.output_path, self.training_id)

    @property
    def checkpoints(self) -> str:
        """The folder of this attempt's checkpoints, or an empty text where none are kept."""
        return checkpoints_of(self.spec, self.training_id, self.number)


def output_of(output_path: str, training_id: str) -> str:
    """Return the folder of a training below its output path."""
    return f"{output_path.rstrip('/')}/{training_id}"


def checkpoints_of(spec: TrainingSpec, training_id: str, number: int) -> str:
    """Return the folder of an attempt's checkpoints, or an empty text where none are kept.

    A checkpoint path in another training's folder is only read: what is written lies beside that folder.
    """
    if not spec.checkpoint_path:
        return ""
    return f"{folder_of(spec.checkpoint_path, training_id)}/attempt-{number}"


def folder_of(checkpoint_path: str, training_id: str) -> str:
    """Return the folder below which all checkpoints of a training are written, of whichever attempt."""
    return f"{checkpoint_root(checkpoint_path).rstrip('/')}/{training_id}"


def checkpoint_root(checkpoint_path: str) -> str:
    """Return the folder below which the checkpoints of a training with this checkpoint path are written.

    Raises:
        blocks.storage.errors.BadPath: the path is none.
    """
    place = parse(checkpoint_path, DERIVED_LIMIT)
    parts = place.key.rstrip("/").split("/")
    first = 1 if place.scheme == "file" else 0  # a whole disk is no place to write to
    own = next((at for at, part in enumerate(parts) if at >= first and OWN_FOLDER.fullmatch(f"{part}/")), len(parts))
    return str(replace(place, key="/".join(parts[:own])))


def work_folder(home: Path, attempt_id: str) -> Path:
    """Return where an attempt keeps its files on this machine."""
    return home / "work" / attempt_id
