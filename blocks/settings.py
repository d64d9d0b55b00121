"""Where the parts of this platform are: ports, addresses, folders; read by every process, and free of Prefect.

One machine keeps all of its state in one folder, `EMF_HOME` (default `~/.emf`). What an operator changes stands in
`EMF_HOME/settings.yaml`; an environment variable `EMF_PORT_<PART>` goes before it.
"""

import os
from pathlib import Path
from typing import Self, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from blocks.errors import Permanent

LOOPBACK = "127.0.0.1"
TENSORBOARDS = 100  # ports, from the first on


class BadSettings(Permanent):
    """The settings file cannot be used; the message names the field and the value."""


class Ports(BaseModel):
    """The TCP ports of one machine's parts, all on loopback."""

    model_config = ConfigDict(extra="forbid")
    prefect: int = Field(4200, ge=1, le=65535)
    mlflow: int = Field(5000, ge=1, le=65535)
    object_store: int = Field(8480, ge=1, le=65535)
    controller: int = Field(8490, ge=1, le=65535)
    tensorboard_first: int = Field(6006, ge=1, le=65435, description="TensorBoards take this port and the next 99.")

    @model_validator(mode="after")
    def _each_has_its_own(self) -> Self:
        if told := shared_ports(self):
            raise PydanticCustomError("shared", "{told}", {"told": told})
        return self


def shared_ports(ports: Ports) -> str:
    """Say which parts would listen on one port; "" where each has its own."""
    wanted: dict[int, list[str]] = {}
    for part, first in ports:
        for port in range(first, first + (TENSORBOARDS if part == "tensorboard_first" else 1)):
            wanted.setdefault(port, []).append(part)
    shared = [f"{' and '.join(parts)} both have {port}" for port, parts in wanted.items() if len(parts) > 1]
    return f"{'; '.join(shared)}: give each a port of its own" if shared else ""


class Settings(BaseModel):
    """Everything that is not secret about where the platform's parts are."""

    model_config = ConfigDict(extra="forbid")
    home: Path
    ports: Ports = Field(default_factory=lambda: Ports.model_validate({}))
    region: str = "KR1"
    account: str = Field("easymaker", pattern=r"^[a-z0-9]+$", description="The object store's account.")
    app_key: str = Field("easymaker", description="What scripts read as EM_APPKEY.")
    nas: dict[str, Path] = Field(default={}, description="The operator's table of mounts: NAS id or address to folder.")
    grace_seconds: int = Field(25, ge=0, le=25, description="What a script has between SIGTERM and SIGKILL.")
    lease_seconds: int = Field(15, ge=10, le=600, description="Of silence, after which an attempt is taken for dead.")
    tensorboard_idle_minutes: float = Field(60, gt=0)

    @property
    def prefect_url(self) -> str:
        """Where Prefect's server answers."""
        return f"http://{LOOPBACK}:{self.ports.prefect}"

    @property
    def prefect_api_url(self) -> str:
        """What `PREFECT_API_URL` must be."""
        return f"{self.prefect_url}/api"

    @property
    def mlflow_url(self) -> str:
        """Where MLflow's tracking server and pages answer."""
        return f"http://{LOOPBACK}:{self.ports.mlflow}"

    @property
    def controller_url(self) -> str:
        """Where instances find the controller."""
        return f"http://{LOOPBACK}:{self.ports.controller}"

    @property
    def object_store_endpoint(self) -> str:
        """The `{endpoint}` of this platform's own `obs://{endpoint}/{container}/{path}`."""
        return f"{LOOPBACK}:{self.ports.object_store}"

    @property
    def records_url(self) -> str:
        """The records' database, for SQLAlchemy."""
        return os.environ.get("EMF_RECORDS_URL") or f"sqlite:///{self.home / 'records.db'}"

    def obs(self, container: str, key: str = "") -> str:
        """Return the `obs://` path of something in this platform's own object store."""
        return f"obs://{self.object_store_endpoint}/{container}/{key}".rstrip("/")


def home() -> Path:
    """Return the platform's folder: `EMF_HOME`, else `~/.emf`."""
    return Path(os.environ.get("EMF_HOME") or Path.home() / ".emf").expanduser().absolute()


def load(folder: Path | None = None) -> Settings:
    """Read the settings of the platform whose folder is given (default: `home()`).

    Raises:
        BadSettings: the file is not YAML or has a field that is wrong; every such field is named.
    """
    folder = folder or home()
    file = folder / "settings.yaml"
    try:
        raw: object = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSettings(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(raw, dict | None):
        raise BadSettings(f"{file} must hold fields and values, as in `ports: {{prefect: 4200}}`; it holds {raw!r}.")
    fields = cast("dict[str, object]", raw or {})
    ports: object = fields.get("ports") or {}
    if not isinstance(ports, dict):
        raise BadSettings(f"`ports` in {file} must be names and numbers, as in `prefect: 4200`; it is {ports!r}.")
    fields["ports"] = cast("dict[str, object]", ports) | {
        part: os.environ[f"EMF_PORT_{part.upper()}"]
        for part in Ports.model_fields
        if f"EMF_PORT_{part.upper()}" in os.environ
    }
    try:
        return Settings.model_validate(fields | {"home": folder})
    except ValidationError as error:
        faults = "; ".join(map(_told, error.errors()))
        raise BadSettings(f"{file} (or EMF_PORT_… in the environment): {faults}") from error


def _told(fault: ErrorDetails) -> str:
    said = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return said if fault["type"] == "shared" else f"{said}, not {fault['input']!r}"
