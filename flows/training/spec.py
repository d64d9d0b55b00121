"""What a person asks of a training, and everything that can be said against it without looking at the outside."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from blocks.catalogue.catalogue import Catalogue, Framework, Image, InstanceType, Machine
from flows.faults import Fault, all_faults, choices, validated, wrong, wrong_together
from flows.names import Description, PathText, PathTextOrNone, ResourceName
from flows.tags import Tags, tag_faults
from flows.training.fields import (
    DataSet,
    EntryPoint,
    HyperparameterKey,
    HyperparameterValue,
    MaximumTime,
    data_set_faults,
    hyperparameter_faults,
    seconds,
)

MOST_INSTANCES = 10
MOST_PROCESSES = 64
MOST_STORAGE_GB = 10_240
MOST_CHECKPOINTS = 100


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):  # to pydantic True is 1
        raise wrong("is not a whole number", "Give a whole number.")
    return value


WholeNumber = Annotated[int, BeforeValidator(_no_truth_value)]


class TrainingSpec(BaseModel):
    """One training: its script, its data, its instances. Sizes in GB of 1024³ bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ResourceName
    description: Description = ""
    experiment: ResourceName
    algorithm_path: PathText
    entry_point: EntryPoint
    hyperparameters: dict[HyperparameterKey, HyperparameterValue] = {}
    image: str = Field(min_length=1, max_length=50)
    instance_type: str = Field(min_length=1, max_length=50)
    instance_count: WholeNumber = Field(1, ge=1, le=MOST_INSTANCES)
    data_storage_gb: WholeNumber = Field(10, ge=1, le=MOST_STORAGE_GB)
    data_sets: tuple[DataSet, ...] = ()
    output_path: PathText
    checkpoint_path: PathTextOrNone = ""
    checkpoints_kept: WholeNumber = Field(3, ge=1, le=MOST_CHECKPOINTS)
    maximum_time: MaximumTime = "720h"
    log_management: bool = True
    tags: Tags = {}
    use_torchrun: bool = False
    processes_per_node: WholeNumber = Field(1, ge=1, le=MOST_PROCESSES)

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if faults := rule_faults(self.model_dump()):
            raise wrong_together(faults)
        return self

    @property
    def maximum_seconds(self) -> int:
        """How long the training may be RUNNING."""
        return seconds(self.maximum_time)


def parse(raw: Mapping[str, object]) -> TrainingSpec:
    """Return the training that was asked for.

    Raises:
        Refused: with every fault that can be found in the request alone.
    """
    return validated(TrainingSpec, raw, rule_faults(raw))


def request_faults(raw: Mapping[str, object], more: Iterable[Fault] = ()) -> list[Fault]:
    """Return what `parse` would refuse and what others (the catalogue, the places) found, in the fields' order."""
    return all_faults(TrainingSpec, raw, [*rule_faults(raw), *more])


def warnings(spec: TrainingSpec) -> list[str]:
    """Say what a training that can be made will not do, and its sender may expect."""
    if spec.instance_count == 1:
        return []
    kept = "the model and TensorBoard's files are taken from instance 0 alone"
    others = "what the script writes there on the others is not kept"
    return [f"{kept}; {others}. Checkpoints are kept of all."]


def digest(spec: TrainingSpec) -> str:
    """Return what tells two requests apart: SHA-256 over canonical JSON; the order of names makes no difference."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def rule_faults(raw: Mapping[str, object]) -> list[Fault]:
    """Return what is wrong over several fields or a whole collection, whatever is wrong with single fields."""
    faults = hyperparameter_faults(raw.get("hyperparameters"))
    faults += data_set_faults(raw.get("data_sets"))
    faults += tag_faults(raw.get("tags"))
    processes = whole_number(raw.get("processes_per_node", 1))
    if processes and processes > 1 and _truth(raw.get("use_torchrun", False)) is False:
        remedy = "Set use_torchrun, or leave processes_per_node at 1."
        faults.append(Fault("processes_per_node", processes, "needs torchrun, which is off", remedy))
    return faults


def catalogue_faults(
    request: TrainingSpec | Mapping[str, object], catalogue: Catalogue, machine: Machine | None
) -> list[Fault]:
    """Return what speaks against the image and the instance type.

    Args:
        request: a training, or what was sent for one, whatever else is wrong with it.
        catalogue: what there is to choose from.
        machine: the machine that must hold all instances at once; None where a scheduler finds them a place.
    """
    raw = request.model_dump() if isinstance(request, TrainingSpec) else request
    faults: list[Fault] = []
    image_name, kind_name = raw.get("image"), raw.get("instance_type")
    image = catalogue.image(image_name) if isinstance(image_name, str) else None
    kind = catalogue.instance_type(kind_name) if isinstance(kind_name, str) else None
    if isinstance(image_name, str) and image is None:
        known = [image.name for image in catalogue.images]
        faults.append(Fault("image", image_name, "there is no such image", choices(image_name, known)))
    if isinstance(kind_name, str) and kind is None:
        known = [kind.name for kind in catalogue.instance_types]
        faults.append(Fault("instance_type", kind_name, "there is no such instance type", choices(kind_name, known)))
    if image and kind and image.core_type != kind.core_type:
        faults.append(_different_kinds(image, kind, catalogue))
    faults += _torchrun_faults(raw, image, kind)
    count = whole_number(raw.get("instance_count", 1)) or 1
    if kind and machine and (reason := kind.fits(machine, count if 1 <= count <= MOST_INSTANCES else 1)):
        remedy = "Give a smaller instance type, fewer instances, or run it on a larger machine."
        faults.append(Fault("instance_type", kind.name, f"can never run here: {reason}", remedy))
    return faults


def _different_kinds(image: Image, kind: InstanceType, catalogue: Catalogue) -> Fault:
    problem = f"the image {image.name} is for {image.core_type}, the instance type {kind.name} is {kind.core_type}"
    kinds = [other.name for other in catalogue.instance_types if other.core_type == image.core_type]
    images = [other.name for other in catalogue.images if other.core_type == kind.core_type]
    ways = [f"the instance type {' or '.join(kinds)}"] if kinds else []
    ways += [f"the image {' or '.join(images)}"] if images else []
    return Fault("image, instance_type", [image.name, kind.name], problem, f"Give {', or '.join(ways)}.")


def _torchrun_faults(raw: Mapping[str, object], image: Image | None, kind: InstanceType | None) -> list[Fault]:
    faults: list[Fault] = []
    if image and image.framework != Framework.PYTORCH and _truth(raw.get("use_torchrun", False)):
        problem = f"torchrun is PyTorch's; the image {image.name} has {image.framework}"
        faults.append(Fault("use_torchrun", True, problem, "Leave use_torchrun off, or give a PyTorch image."))
    processes = whole_number(raw.get("processes_per_node", 1))
    if kind and processes:
        most = kind.gpus or max(1, math.floor(kind.vcpus))
        if processes > most:
            problem = f"{kind.name} has {most} {'GPU' if kind.gpus else 'vCPU'}{'s' * (most > 1)}, one a process"
            remedy = f"Give at most {most}, or a larger instance type."
            faults.append(Fault("processes_per_node", processes, problem, remedy))
    return faults


_NUMBER = TypeAdapter(WholeNumber)
_TRUTH = TypeAdapter(bool)


def whole_number(value: object) -> int | None:
    """Return the number that the field would make of a raw value; None where it would refuse it."""
    try:
        return _NUMBER.validate_python(value)
    except ValidationError:
        return None


def _truth(value: object) -> bool | None:
    try:
        return _TRUTH.validate_python(value)
    except ValidationError:
        return None
