"""Images and instance types, and whether a machine could ever hold one: what every lifecycle chooses from.

The operator's files are `EMF_HOME/catalogue/{images,instance_types}.yaml`; one that is not there is read from the
defaults beside this module.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self, TypeVar, cast

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from blocks import settings
from blocks.catalogue.errors import BadCatalogue

GIB = 1024**3
_DEFAULTS = Path(__file__).parent


class CoreType(StrEnum):
    """What computes; an image and an instance type must agree on it."""

    CPU = "CPU"
    GPU = "GPU"


class Framework(StrEnum):
    """What an image carries for training; PYTHON is none."""

    PYTORCH = "PYTORCH"
    TENSORFLOW = "TENSORFLOW"
    PYTHON = "PYTHON"


def _written_as_text(value: object) -> object:
    """Refuse a version that YAML took for a number: 3.10 would have become 3.1, and nobody would have been told."""
    if isinstance(value, int | float):
        raise PydanticCustomError("number", "a version must stand in quotes, as in '3.11'")
    return value


Name = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Version = Annotated[str, BeforeValidator(_written_as_text), Field(pattern=r"^[0-9]+(\.[0-9A-Za-z+]+)*$")]


class Image(BaseModel):
    """Where a script runs: a framework in a Python; an environment on one machine, a container elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Name
    core_type: CoreType
    framework: Framework
    framework_version: Version
    python: Version
    environment: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="A folder of images/.")
    container: str = ""


class InstanceType(BaseModel):
    """How much of a machine one instance gets. Memory in GB of 1024³ bytes; price in the operator's currency."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    name: Name
    vcpus: float = Field(gt=0)
    memory_gb: float = Field(gt=0)
    gpus: int = Field(0, ge=0)
    gpu_kind: str = Field("", validate_default=True)
    pool: str = Field("process", min_length=1)
    price_per_hour: float = Field(0.0, ge=0)
    job_variables: dict[str, object] = {}

    @field_validator("gpu_kind")
    @classmethod
    def _gpus_have_a_kind(cls, kind: str, info: ValidationInfo) -> str:
        if "gpus" in info.data and bool(info.data["gpus"]) != bool(kind):
            raise ValueError(f"gpus is {info.data['gpus']}: give both or neither")
        return kind

    @property
    def core_type(self) -> CoreType:
        """GPU where there is one."""
        return CoreType.GPU if self.gpus else CoreType.CPU

    @property
    def memory_bytes(self) -> int:
        """The limit of an instance's memory."""
        return int(self.memory_gb * GIB)

    def fits(self, machine: "Machine", count: int = 1) -> str | None:
        """Return why the machine, even idle, could never hold `count` of this at once, or None if it could.

        A vCPU is a share, so a lack of them refuses nothing.
        """
        asked = f"{count} × {self.name}" if count > 1 else self.name
        if self.memory_bytes * count > machine.memory_bytes:
            asks = f"{asked} needs {self.memory_gb * count:g} GB of memory"
            return f"{asks}; this machine has {machine.memory_bytes / GIB:.1f} GB"
        if self.gpus * count > sum(gpu.is_a(self.gpu_kind) for gpu in machine.gpus):
            kinds = Counter(gpu.name for gpu in machine.gpus)
            has = ", ".join(f"{times} × {name}" for name, times in kinds.items()) or "none"
            return f"{asked} needs {self.gpus * count} × {self.gpu_kind or 'GPU'}; of GPUs this machine has {has}"
        return None


@dataclass(frozen=True)
class Gpu:
    """One GPU: its index, by which CUDA_VISIBLE_DEVICES and leases name it, and what its driver calls it."""

    index: str
    name: str

    def is_a(self, kind: str) -> bool:
        """Say whether it is of an instance type's kind: `H100` is in `NVIDIA H100 80GB HBM3`, and "" in any."""
        return kind.casefold() in self.name.casefold()


@dataclass(frozen=True)
class Machine:
    """What one machine has in all; memory in bytes."""

    vcpus: float
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()


class Catalogue(BaseModel):
    """What there is to choose from, in the order of the files."""

    model_config = ConfigDict(frozen=True)
    images: tuple[Image, ...]
    instance_types: tuple[InstanceType, ...]

    def image(self, name: str) -> Image | None:
        """Return the image of that name, if there is one."""
        return next((image for image in self.images if image.name == name), None)

    def instance_type(self, name: str) -> InstanceType | None:
        """Return the instance type of that name, if there is one."""
        return next((kind for kind in self.instance_types if kind.name == name), None)

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Read the catalogue in that folder (default: `EMF_HOME/catalogue`); what is not there, from the defaults.

        Raises:
            BadCatalogue: naming everything that is wrong in both files.
        """
        folder = folder or settings.home() / "catalogue"
        faults: list[str] = []
        images = _read(folder, "images.yaml", Image, faults)
        instance_types = _read(folder, "instance_types.yaml", InstanceType, faults)
        if faults:
            raise BadCatalogue(faults)
        return cls(images=images, instance_types=instance_types)


Entry = TypeVar("Entry", Image, InstanceType)


def _read(folder: Path, file_name: str, model: type[Entry], faults: list[str]) -> tuple[Entry, ...]:
    """Return the entries of one file that are right, and add what is wrong with the others to the faults."""
    file = folder / file_name
    if not file.exists():
        file = _DEFAULTS / file_name
    try:
        raw: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        faults.append(f"{file} cannot be read as YAML: {error}")
        return ()
    if not isinstance(raw, list) or not raw:
        faults.append(f"{file} must be a list of entries, as in `- name: …`; it holds {raw!r:.80}")
        return ()
    rows = cast("list[object]", raw)
    entries: list[Entry] = []
    for place, row in enumerate(rows, 1):
        name = _name_of(row)
        entry = f"{file}, entry {place} ({name!r:.60})" if name else f"{file}, entry {place}"
        try:
            entries.append(model.model_validate(row))
        except ValidationError as error:
            faults.extend(f"{entry}: {fault}" for fault in _told(error))
    times = Counter(name for row in rows if (name := _name_of(row)))
    faults.extend(f"{file}: the name {name!r:.60} stands there {n} times" for name, n in times.items() if n > 1)
    return tuple(entries)


def _name_of(row: object) -> str | None:
    name = cast("dict[str, object]", row).get("name") if isinstance(row, dict) else None
    return name if isinstance(name, str) else None


def _told(error: ValidationError) -> list[str]:
    """Say what is wrong in the operator's words."""
    told: list[str] = []
    for fault in error.errors(include_url=False):
        field = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            told.append(f"{field}: there is no such field ({fault['input']!r:.80})")
        elif fault["type"] == "missing":
            told.append(f"{field}: is missing")
        elif not field:
            told.append(f"it must have fields and values, as in `name: …`; it is {fault['input']!r:.80}")
        else:
            told.append(f"{field}: {fault['msg'].removeprefix('Value error, ')}; it is {fault['input']!r:.80}")
    return told
