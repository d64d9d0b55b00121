"""What a person asks of an experiment."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from flows.faults import validated
from flows.names import Description, ResourceName
from flows.tags import Tags, tag_faults


class ExperimentSpec(BaseModel):
    """A new experiment; its name is unique."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ResourceName
    description: Description = ""
    tags: Tags = {}


class ExperimentChange(BaseModel):
    """What of an experiment changes; what is None stays. Tags are replaced as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    description: Description | None = None
    tags: Tags | None = None


def parse(raw: Mapping[str, object]) -> ExperimentSpec:
    """Return the new experiment that was asked for.

    Raises:
        Refused: with every fault of the request.
    """
    return validated(ExperimentSpec, raw, tag_faults(raw.get("tags")))


def parse_change(raw: Mapping[str, object]) -> ExperimentChange:
    """Return the change that was asked for.

    Raises:
        Refused: with every fault of the request.
    """
    return validated(ExperimentChange, raw, tag_faults(raw.get("tags")))
