"""Links that act: a deployment's form in Prefect's UI, filled in."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx

from blocks.settings import Settings
from flows.deployed import NAME, PAGE, deployments

FRESH_SECONDS = 60.0


class Forms:
    """The forms of this platform's deployments; ids are read from Prefect and kept for a minute."""

    def __init__(self, where: Settings) -> None:
        self.where = where
        self._ids: dict[str, str] = {}
        self._read_at = -FRESH_SECONDS

    def link(self, text: str, flow: str, parameters: Mapping[str, Any] | None = None) -> str:
        """Return a Markdown link to a flow's form, filled in; plain text where the flow is not deployed."""
        deployment = self._deployments().get(flow)
        if deployment is None:
            return text
        filled = f"?parameters={quote(json.dumps(parameters, ensure_ascii=False))}" if parameters else ""
        return f"[{text}]({self.where.prefect_url}/v2/deployments/deployment/{deployment}/run{filled})"

    def _deployments(self) -> dict[str, str]:
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            self._read_at = time.monotonic()  # first: a Prefect that is away is asked once a minute, not once a link
            with suppress(httpx.HTTPError, ValueError):  # a board without links is better than none
                self._ids = self._read()
        return self._ids

    def _read(self) -> dict[str, str]:
        """Return the id of the platform's own deployment of each flow, by the flow's name."""
        with httpx.Client(base_url=self.where.prefect_api_url, timeout=10, trust_env=False) as client:
            ours = {str(one["flow_id"]): str(one["id"]) for one in deployments(client, NAME.__eq__)}
            query = {"flows": {"id": {"any_": list(ours)}}, "limit": PAGE}
            flows = client.post("/flows/filter", json=query).raise_for_status().json()
            return {str(flow["name"]): ours[str(flow["id"])] for flow in flows}
