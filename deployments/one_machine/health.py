"""Whether a part is well: asked of the part itself, or, for a worker, of Prefect."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx

from blocks.settings import Settings
from deployments.one_machine.parts import Part
from deployments.one_machine.supervisor import Program

SECONDS = 3.0


def ask(parts: Iterable[Part], programs: Mapping[str, Program], settings: Settings) -> dict[str, str]:
    """Ask all parts at once; return what is wrong with each, by name: "" for one that is well."""
    parts = list(parts)
    # Loopback only: reading the certificates would take longer than asking.
    client = httpx.Client(timeout=SECONDS, trust_env=False, verify=False)  # noqa: S501
    with client, ThreadPoolExecutor(len(parts) or 1) as pool:
        faults = pool.map(lambda part: _fault(client, part, programs.get(part.name), settings), parts)
        return {part.name: fault for part, fault in zip(parts, faults, strict=True)}


def _fault(client: httpx.Client, part: Part, program: Program | None, settings: Settings) -> str:
    if program is None or not program.pid:
        return program.detail or "does not run" if program else "does not run"
    try:
        if part.pool:
            answer = client.post(f"{settings.prefect_api_url}/work_pools/{part.pool}/workers/filter", json={})
            answer.raise_for_status()
            return worker_fault(answer.json(), part.name, program.start)
        answer = client.get(part.health)
    except httpx.HTTPError as error:
        return f"does not answer ({type(error).__name__})"
    return "" if answer.status_code == 200 else f"answers {answer.status_code}"


def worker_fault(workers: list[dict[str, Any]], name: str, started: int) -> str:
    """Return what is wrong with a worker, from Prefect's list of its pool.

    A worker that died counts as online for a while and is known by the same name: only a beat since this process
    started (seconds since the epoch) is its own.
    """
    for worker in workers:
        if worker["name"] == name:
            beat = datetime.fromisoformat(worker["last_heartbeat_time"] or "1970-01-01T00:00:00Z")
            if beat < datetime.fromtimestamp(started, UTC):
                return "has not reported to Prefect yet"
            return "" if worker["status"] == "ONLINE" else f"is {worker['status']} at Prefect"
    return "is not known to Prefect"
