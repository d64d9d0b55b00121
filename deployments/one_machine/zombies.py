"""Runs that died without a word: Prefect shows them as Running for ever unless an automation takes them for crashed.

Only Prefect's pages become true by this. What the platform does about a training is decided by its own beats.
"""

from collections.abc import Mapping
from typing import Any, cast

import httpx

NAME = "easymaker: runs whose heartbeats stop have crashed"
# Twenty heartbeats of the platform's own runs (30 s), three of others' (180 s): what is late on a busy machine lives.
# `reconcile` closes the runs of trainings within a minute; a run that is closed too early ends as what it ends as.
SECONDS = 600
HEARTBEAT = "prefect.flow-run.heartbeat"
# After these none is expected any more.
LAST = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelled", "Paused", "Suspended")


def automation(seconds: int = SECONDS) -> dict[str, Any]:
    """Return the automation: a run that has sent a heartbeat must send the next, or end, within so many seconds."""
    return {
        "name": NAME,
        "description": f"Its process is gone: it has sent no heartbeat for {seconds} s. `emf up` keeps this as it is.",
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "after": [HEARTBEAT],
            "expect": [HEARTBEAT, *(f"prefect.flow-run.{state}" for state in LAST)],
            "for_each": ["prefect.resource.id"],
            "threshold": 1,
            "within": seconds,
        },
        "actions": [
            {
                "type": "change-flow-run-state",
                "state": "CRASHED",
                "name": "Crashed",
                "message": f"Its process is gone: no heartbeat came for {seconds} s.",
            }
        ],
    }


def ensure(client: httpx.Client, seconds: int = SECONDS) -> bool:
    """See that Prefect has the automation; one that an operator has switched off stays off.

    Args:
        client: its base URL is Prefect's API.
        seconds: without a heartbeat, after which a run has crashed.

    Returns whether anything had to be changed.

    Raises:
        httpx.HTTPError: Prefect does not answer, or refuses.
    """
    wanted = automation(seconds)
    query = {"automations": {"name": {"any_": [NAME]}}, "limit": 1}
    found: list[dict[str, Any]] = client.post("/automations/filter", json=query).raise_for_status().json()
    if not found:
        client.post("/automations/", json=wanted | {"enabled": True}).raise_for_status()
        return True
    if holds(found[0], wanted):
        return False
    body = wanted | {"enabled": found[0]["enabled"]}
    client.put(f"/automations/{found[0]['id']}", json=body).raise_for_status()
    return True


def holds(found: object, wanted: object) -> bool:
    """Say whether all that is wanted stands in what was found, which may hold more; the order of lists is nothing."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        there = cast("Mapping[str, object]", found)
        return all(
            name in there and holds(there[name], value) for name, value in cast("dict[str, object]", wanted).items()
        )
    if isinstance(wanted, list) and isinstance(found, list):
        some, there = cast("list[object]", wanted), cast("list[object]", found)
        return len(some) == len(there) and all(any(holds(one, value) for one in there) for value in some)
    return found == wanted
