"""Hears what a launcher reports while it runs."""

import json
import os
import select
import time
from collections.abc import Callable

import pytest

Hear = Callable[..., dict]


@pytest.fixture
def hear() -> Hear:
    """Wait for a launcher's next event of a name and return it; events before it are passed over."""
    unread: dict[int, bytes] = {}

    def heard(one, event: str, seconds: float = 20) -> dict:
        pipe, deadline = one._reports, time.monotonic() + seconds
        while True:
            line, end, rest = unread.get(pipe, b"").partition(b"\n")
            if end:
                unread[pipe] = rest
                if json.loads(line)["event"] == event:
                    return json.loads(line)
                continue
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the launcher did not tell `{event}` in {seconds} s"
            piece = os.read(pipe, 65536)
            assert piece, f"the launcher ended and did not tell `{event}`"
            unread[pipe] = line + piece

    return heard
