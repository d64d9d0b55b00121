"""A training's log has every line; Prefect's has what a person can read."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

from tests.platform.batch import Batch
from tests.platform.deadlines import within

LINES = 20_000


def test_every_line_is_there_in_order(batch: Batch, log: Callable[[str], list[str]]):
    """20,000 lines from both of the script's outputs, as fast as it can."""
    found = batch.ended("lines")
    assert found["state"] == "COMPLETE", found["message"]
    assert [int(line.split()[1]) for line in log(found["id"])] == list(range(LINES))
    assert all(len(line) == (9011 if number % 2000 == 0 else 31) for number, line in enumerate(log(found["id"])))


def test_prefects_log_gets_fifty_lines_a_second_and_the_count_of_the_rest(batch: Batch, prefect: httpx.Client):
    """What is shown and what is said to be left out are all lines; where those are is said too."""
    found = batch.ended("lines")
    body = {"logs": {"flow_run_id": {"any_": [found["pages"]["run"].rpartition("/")[2]]}}, "limit": 200}
    lines: list[dict[str, Any]] = []
    while page := prefect.post("/logs/filter", json=body | {"offset": len(lines)}).json():
        lines += page
    shown = [line for line in lines if re.match(r"line \d{5} x", line["message"])]
    told = [line["message"] for line in lines if "left out here" in line["message"]]
    left_out = sum(int(re.search(r"… ([\d,]+) lines?", text)[1].replace(",", "")) for text in told)
    assert len(shown) + left_out == LINES
    assert all(f"emf training logs {found['id']}" in text for text in told)
    # Seconds of the limit's clock and of the stamps begin at different moments: one of these touches two of those.
    assert max(Counter(line["timestamp"][:19] for line in shown).values()) <= 100
    assert len(shown) <= 50 * (len(told) + 1)


def test_following_ends_with_the_training(
    api: ModuleType, asked: Callable[..., dict[str, Any]], log: Callable[[str], list[str]]
):
    """`emf training logs --follow` gives lines while they come, and when the training has ended it ends, with all."""
    training = api.create_training(**asked("followed", entry_point="counts.py", hyperparameters={"steps": "60"}))["id"]
    argv = [Path(sys.executable).with_name("emf"), "training", "logs", "--follow", training]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as following:
        first = within(240, lambda: next((line for line in following.stdout if line.startswith("first step")), ""))
        assert first == "first step 1\n"
        assert not api.show_training(training)["ended_at"]
        rest = following.communicate(timeout=240)[0].splitlines()
    assert following.returncode == 0
    assert api.show_training(training)["state"] == "COMPLETE"
    assert [line for line in rest if line in log(training)][-1] == "counted to 60"
