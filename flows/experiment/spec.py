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


def parse(raw: Mapping[str, object]) -> ExperimentSpec:
    """Return the new experiment that was asked for.

    Raises:
        Refused: with every fault of the request.
    """
    return validated(ExperimentSpec, raw, tag_faults(raw.get("tags")))
