"""Whom Prefect's server answers, and where its garbage is collected."""

import asyncio
import subprocess
import sys
import textwrap

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from deployments.one_machine.prefect_server import guarded

SCRIPT = """
import gc, threading, time, weakref
from deployments.one_machine.prefect_server import collect_aside

class Node:
    pass

def cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

where = set()
gc.callbacks.append(lambda phase, info: where.add(threading.current_thread().name))
collect_aside()
where.clear()
gone = [cycle() for _ in range(5000)]  # enough for many collections, were they automatic
end = time.monotonic() + 20
while any(ref() for ref in gone) and time.monotonic() < end:
    time.sleep(0.05)
print(sorted(where), any(ref() for ref in gone))
"""


def test_garbage_is_collected_but_never_in_the_event_loops_thread():
    """A thread made for that does it, within seconds; what allocates never collects."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n")[0] == "['garbage'] False"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:4200", 200),
        ("localhost:4200", 200),
        ("[::1]:4200", 200),
        ("rebound.example.org:4200", 400),
        ("127.0.0.1.example.org", 400),
        ("", 400),
    ],
)
def test_only_what_was_sent_to_this_machines_names_is_answered(host: str, status: int):
    """A foreign name that leads here is refused, whatever its page may claim of its origin."""

    async def ask() -> int:
        app = guarded(Starlette(routes=[Route("/", lambda _request: PlainTextResponse("here"))]))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return (await client.get("/", headers={"Host": host})).status_code

    assert asyncio.run(ask()) == status
