"""The line to MLflow: its REST API, and the one place where its errors become ours.

Not MLflow's own client: importing that takes 4 s and 100 MB in every process (0.4 s this way), and it repeats a failed
request by itself for minutes, where here the flows decide about that.
"""

from collections.abc import Mapping
from typing import Any, cast

import httpx

from blocks.proxies import is_loopback
from blocks.tracking.errors import NotFound, Rejected, TrackingError, Unreachable

CONNECT_SECONDS = 3.0


class Rest:
    """MLflow's REST API 2.0 at one address; each call is one request, made once. Threads may share it."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        self._client = httpx.Client(base_url=f"{url}/api/2.0/mlflow/", timeout=timeout, trust_env=not is_loopback(url))

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Read something."""
        return self._answer("GET", path, params=parameters)

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Change something, or search."""
        return self._answer("POST", path, json=body)

    def _answer(self, method: str, path: str, **words: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **words)
        except httpx.HTTPError as error:
            raise Unreachable(f"MLflow does not answer at {self._client.base_url}{path}: {error!r}") from error
        try:
            answer: object = response.json()
        except ValueError:
            answer = None
        if response.is_success and isinstance(answer, dict):
            return cast("dict[str, Any]", answer)
        raise refusal(response.status_code, answer, response.text)


def refusal(status: int, answer: object, text: str) -> TrackingError:
    """Translate an answer that is not the one hoped for: its HTTP status, its JSON (None if it is none), its text."""
    said = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    code, message = str(said.get("error_code", "")), str(said.get("message", text.strip()[:500]))
    if status < 400:
        return Unreachable(f"What answers is not MLflow's API (HTTP {status}): {message}")
    if status in {408, 429} or status >= 500:
        return Unreachable(f"MLflow cannot answer now (HTTP {status} {code}): {message}")
    if code == "RESOURCE_DOES_NOT_EXIST":
        return NotFound(f"MLflow: {message}")
    return Rejected(f"MLflow refused (HTTP {status} {code}): {message}", code)
