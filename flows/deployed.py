"""The platform's own deployments in Prefect, among those that its users made."""

from collections.abc import Callable
from itertools import count
from typing import Any

import httpx

NAME = "easymaker"
PAGE = 200  # the most that Prefect tells at once


def is_ours(name: str) -> bool:
    """Say whether a deployment of this name is the platform's: `easymaker` or `easymaker-…`."""
    return name == NAME or name.startswith(f"{NAME}-")


def deployments(client: httpx.Client, wanted: Callable[[str], bool] = is_ours) -> list[dict[str, Any]]:
    """Return the deployments whose names are wanted, however many others there are.

    Args:
        client: its base URL is Prefect's API.
        wanted: asked with each name.

    Raises:
        httpx.HTTPError: Prefect does not answer, or refuses.
    """
    found: list[dict[str, Any]] = []
    for offset in count(0, PAGE):
        # The newest first: one that is made meanwhile moves the others, and none is missed.
        query = {"sort": "CREATED_DESC", "limit": PAGE, "offset": offset}
        page: list[dict[str, Any]] = client.post("/deployments/filter", json=query).raise_for_status().json()
        found += [one for one in page if wanted(str(one["name"]))]
        if len(page) < PAGE:
            break
    return found
