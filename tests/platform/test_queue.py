"""Waiting for a machine: who waits is told for what and for whom, and may be stopped."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import yaml

from blocks.catalogue.catalogue import GIB
from blocks.platform import Platform
from blocks.pools import processes
from blocks.pools.machine import this_machine
from blocks.settings import Settings
from tests.platform.deadlines import within

Create = Callable[..., str]


@pytest.fixture(scope="module")
def create(
    platform: Settings, connections: Platform, api: ModuleType, asked: Callable[..., dict[str, Any]]
) -> Iterator[Create]:
    """Create a training; `whole` is an instance type of all the memory that there is, but for half a GB."""
    file = platform.home / "catalogue" / "instance_types.yaml"
    types = [kind.model_dump(mode="json") for kind in connections.catalogue.instance_types]
    whole = types[0] | {"name": "whole", "memory_gb": this_machine().memory_bytes / GIB - 0.5}
    file.write_text(yaml.safe_dump([*types, whole]), encoding="utf-8")
    ids: list[str] = []

    def made(name: str, **changes: Any) -> str:
        ids.append(api.create_training(**asked(name, entry_point="counts.py", **changes))["id"])
        return ids[-1]

    yield made
    for training in ids:
        api.stop_training(training)
    for training in ids:
        api.wait_for(training, seconds=120)
    file.unlink()


@pytest.fixture(scope="module")
def whole(create: Create, api: ModuleType) -> str:
    """A training that holds the machine."""
    training = create("whole", instance_type="whole")
    within(120, lambda: api.show_training(training)["attempts"], "its lease")
    return training


@pytest.fixture(scope="module")
def behind(create: Create, whole: str) -> str:
    """The first in the queue."""
    return create("behind")


def message(api: ModuleType, training: str, words: str) -> str:
    """Wait until what a training says of itself has these words."""

    def look() -> str:
        said = api.show_training(training)["message"]
        return said if words in said else ""

    return within(60, look, words)


def test_who_waits_is_told_for_what_and_for_whom(api: ModuleType, behind: str, create: Create):
    """How much is wanted, how much is free, who holds the rest, and who comes first."""
    first = message(api, behind, "waits for")
    assert first == "waits for 1.0 GiB of memory (0.5 GiB are free), held by whole"
    assert message(api, create("third"), "waits for").endswith("held by whole; before it in the queue: behind")
    assert api.show_training(behind)["state"] == "CREATE_IN_PROGRESS"


def test_a_stop_of_one_that_waits_ends_it_at_once(api: ModuleType, behind: str):
    """It is STOPPED for USER in the answer itself, and never had an attempt; a second stop changes nothing."""
    found = api.stop_training(behind)
    assert (found["state"], found["reason"], found["attempts"]) == ("STOPPED", "USER", [])
    events = found["events"]
    assert api.stop_training(behind)["events"] == events


def test_a_stop_right_after_the_request_ends_it_at_once(api: ModuleType, whole: str, create: Create):
    """Also before the controller has looked at it."""
    found = api.stop_training(create("at once"))
    assert (found["state"], found["reason"], found["attempts"]) == ("STOPPED", "USER", [])


def test_a_stop_of_one_whose_run_is_starting_leaves_nothing_of_it(
    api: ModuleType, whole: str, create: Create, prefect: Any
):
    """It has its machine but not yet its run: it is STOPPED, its run is over, and the machine is free for the next."""
    api.stop_training(whole)
    training = create("starting")
    lease = within(120, lambda: api.show_training(training)["attempts"], "its lease")[0]
    assert lease["phase"] in ("GRANTED", "STAGING_IN")
    api.stop_training(training)
    found = api.wait_for(training, seconds=120)
    assert (found["state"], found["reason"], found["attempts"][0]["running_at"]) == ("STOPPED", "USER", "")

    def runs() -> list[str]:
        body = {"flow_runs": {"tags": {"all_": [training]}}}
        states = [run["state_type"] for run in prefect.post("/flow_runs/filter", json=body).json()]
        return states if set(states) <= {"CANCELLED"} else []

    within(120, lambda: api.show_training(training)["attempts"][0]["run_page"] == "" or runs(), "the end of its run")
    within(60, lambda: f"{training}-a1" not in processes.running(), "the end of its processes")
