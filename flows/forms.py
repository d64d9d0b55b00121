"""Links that act: a deployment's form in Prefect's UI, filled in."""

import json
import time
from collections.abc import Mapping
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
            try:
                answer = httpx.post(
                    f"{self.where.prefect_api_url}/deployments/filter",
                    json={"limit": PAGE},
                    timeout=10,
                    trust_env=False,
                )
                found = answer.raise_for_status().json()
            except httpx.HTTPError:
                return self._ids  # a board without links is better than none
            flows = {str(d["flow_id"]): "" for d in found}
            names = httpx.post(
                f"{self.where.prefect_api_url}/flows/filter",
                json={"flows": {"id": {"any_": list(flows)}}, "limit": PAGE},
                timeout=10,
                trust_env=False,
            ).json()
            flows = {str(f["id"]): str(f["name"]) for f in names}
            self._ids = {flows[str(d["flow_id"])]: str(d["id"]) for d in found if d["name"] == "easymaker"}
            self._read_at = time.monotonic()
        return self._ids
