"""What the forms in Prefect's UI take from the catalogue: drop-downs of images and instance types.

The same step closes the forms to parameters that the flow does not have: Prefect itself would take them, and the run
would crash.
"""

import copy
from typing import Any

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from blocks.catalogue.catalogue import Catalogue
from blocks.errors import Temporary
from blocks.platform import Platform
from flows.deployed import deployments

Schema = dict[str, Any]


class FormsAway(Temporary):
    """Prefect does not answer, or refuses a form."""


def filled(schema: Schema, catalogue: Catalogue) -> Schema:
    """Return a flow's parameter schema with the catalogue's choices in it, closed to unknown parameters."""
    new = copy.deepcopy(schema)
    new["additionalProperties"] = False
    choices = {
        "image": [image.name for image in catalogue.images],
        "instance_type": [kind.name for kind in catalogue.instance_types],
    }
    for name, names in choices.items():
        if name in new.get("properties", {}):
            new["properties"][name]["enum"] = names
    return new


@retry(
    retry=retry_if_exception_type(httpx.HTTPError),
    wait=wait_exponential_jitter(multiplier=0.2, max=5),
    stop=stop_after_delay(60),  # SQLite is locked now and then while runs come and go
    reraise=True,
)
def _write(client: httpx.Client, deployment_id: str, schema: Schema) -> None:
    body = {"parameter_openapi_schema": schema, "enforce_parameter_schema": True}
    client.patch(f"/deployments/{deployment_id}", json=body).raise_for_status()


def apply(platform: Platform) -> int:
    """Bring the form of every deployment of the platform up to date; returns how many changed. Users' own stay theirs.

    Raises:
        FormsAway: Prefect does not answer.
    """
    catalogue, changed = platform.catalogue, 0
    try:
        with httpx.Client(base_url=platform.settings.prefect_api_url, timeout=30, trust_env=False) as client:
            for deployment in deployments(client):
                before: Schema = deployment["parameter_openapi_schema"] or {}
                after = filled(before, catalogue)
                if after != before:
                    _write(client, deployment["id"], after)
                    changed += 1
    except httpx.HTTPError as error:
        does = "`emf status` shows which parts run, `emf up` starts the others; then `emf catalogue apply` again."
        raise FormsAway(f"The forms could not be brought up to date: {error}. {does}") from error
    return changed
