"""What may be asked of an experiment."""

import pytest

from flows.experiment.spec import ExperimentSpec, parse
from flows.faults import Refused


def test_a_request_makes_an_experiment():
    """Name, description and tags; the last two may be left out."""
    assert parse({"name": "실험"}) == ExperimentSpec(name="실험", description="", tags={})
    spec = parse({"name": "a", "description": "b", "tags": {"team": "vision"}})
    assert ExperimentSpec.model_validate_json(spec.model_dump_json()) == spec


def test_every_fault_is_told_at_once():
    """A request with five faults is refused with five."""
    raw = {"name": "a/b", "description": "x" * 256, "tags": {str(n): n if n else None for n in range(11)}, "tgas": 1}
    with pytest.raises(Refused) as caught:
        parse(raw)
    assert [fault.field for fault in caught.value.faults] == ["name", "description", "tags['0']", "tags", "tgas"]
