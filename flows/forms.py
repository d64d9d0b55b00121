"""Links that act: a deployment's form in Prefect's UI, filled in."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx

from blocks.settings import Settings

FRESH_SECONDS = 60.0
PAGE = 200


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
            # A board without links is better than none.
            with suppress(httpx.HTTPError, ValueError), httpx.Client(timeout=10, trust_env=False) as client:
                found = self._read(client, "deployments", {"limit": PAGE})
                ids = list({str(d["flow_id"]) for d in found})
                names = self._read(client, "flows", {"flows": {"id": {"any_": ids}}, "limit": PAGE})
                flows = {str(f["id"]): str(f["name"]) for f in names}
                self._ids = {flows[str(d["flow_id"])]: str(d["id"]) for d in found if d["name"] == "easymaker"}
        return self._ids

    def _read(self, client: httpx.Client, what: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = client.post(f"{self.where.prefect_api_url}/{what}/filter", json=query)
        return answer.raise_for_status().json()
