"""What a person changes of an experiment or a training: its description and its tags."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from flows.faults import ABSENT, Fault, Refused, validated
from flows.names import Description
from flows.tags import Tags, tag_faults


class Change(BaseModel):
    """What changes; what is None stays. Tags are replaced as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    description: Description | None = None
    tags: Tags | None = None


def parse_change(raw: Mapping[str, object]) -> Change:
    """Return the change that was asked for.

    Raises:
        Refused: with every fault of the request; also where nothing is to change.
    """
    if not raw:
        remedy = "Give a description or tags; to take them away, turn on change_description or change_tags."
        raise Refused([Fault("description, tags", ABSENT, "nothing is to change", remedy)])
    return validated(Change, raw, tag_faults(raw.get("tags")))


def asked(
    description: str, tags: Mapping[str, str], *, change_description: bool, change_tags: bool
) -> dict[str, object]:
    """Return what a form asks for: what is filled in, and what is empty only where that is said to be meant."""
    wanted: dict[str, object] = {"description": description} if description or change_description else {}
    return wanted | ({"tags": tags} if tags or change_tags else {})
