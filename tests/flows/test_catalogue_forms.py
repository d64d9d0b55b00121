"""What forms take from the catalogue, and whose forms those are."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from blocks.catalogue.catalogue import Catalogue
from blocks.platform import Platform
from flows.catalogue_forms import apply, filled

SCHEMA = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "title": "image", "position": 0},
        "instance_type": {"type": "string", "default": "cpu.small"},
        "name": {"type": "string", "maxLength": 50},
    },
}


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue.load(tmp_path)


def test_a_form_offers_what_the_catalogue_has(catalogue: Catalogue):
    """Images and instance types by name, in the operator's order; the fields are otherwise as they were."""
    found = filled(SCHEMA, catalogue)["properties"]
    assert found["image"] == SCHEMA["properties"]["image"] | {"enum": [image.name for image in catalogue.images]}
    assert found["instance_type"]["enum"] == [kind.name for kind in catalogue.instance_types]
    assert found["name"] == SCHEMA["properties"]["name"]


def test_a_form_is_closed_to_unknown_parameters(catalogue: Catalogue):
    """Also one that takes neither image nor instance type."""
    for schema in (SCHEMA, {"type": "object", "properties": {}}, {}):
        assert filled(schema, catalogue)["additionalProperties"] is False


def test_filling_changes_no_schema_but_its_own(catalogue: Catalogue):
    """The schema that was given stays; filled twice it is the same, so that nothing is written without need."""
    before = json.dumps(SCHEMA)
    once = filled(SCHEMA, catalogue)
    assert json.dumps(SCHEMA) == before
    assert filled(once, catalogue) == once


def test_a_changed_catalogue_changes_the_form(catalogue: Catalogue):
    """What left the catalogue is no longer offered."""
    smaller = catalogue.model_copy(update={"images": catalogue.images[:1]})
    once = filled(SCHEMA, catalogue)
    assert filled(once, smaller)["properties"]["image"]["enum"] == [catalogue.images[0].name]


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """A Prefect with the platform's form and one of a user's own flow, which has an image too; by name."""
    known = {name: {"id": name, "name": name, "parameter_openapi_schema": SCHEMA} for name in ("easymaker", "mine")}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            known[request.url.path.rpartition("/")[2]] |= json.loads(request.content)
            return httpx.Response(204)
        return httpx.Response(200, json=list(known.values()))

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://prefect/api")
    monkeypatch.setattr(httpx, "Client", lambda **_: client)
    return known


def test_a_users_own_form_stays_as_it_is(here: Platform, prefect: dict[str, dict[str, Any]]):
    """Only the platform's deployments get the catalogue's choices, and are closed to unknown parameters."""
    assert apply(here) == 1
    assert prefect["mine"]["parameter_openapi_schema"] == SCHEMA
    ours = prefect["easymaker"]
    assert ours["parameter_openapi_schema"] == filled(SCHEMA, here.catalogue)
    assert ours["enforce_parameter_schema"] is True
