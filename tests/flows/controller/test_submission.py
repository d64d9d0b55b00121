"""How a lease gets its run."""

from collections.abc import Callable
from typing import Any

import pytest

from blocks.platform import Platform
from blocks.pools.errors import NotDeployed, PrefectAway
from blocks.records import attempt as verbs
from blocks.records.words import TrainingState
from flows.controller.leases import Leases
from flows.reconcile.in_turn import pause_after
from tests.flows.controller.conftest import SECRET, FakeRuns, catalogue
from tests.flows.reconcile.conftest import Clock

T = TrainingState


@pytest.fixture
def leased(leases: Leases, make: Callable[..., str]) -> str:
    """The id of an attempt that has its lease."""
    training_id = make()
    leases.grant()
    return f"{training_id}-a1"


def test_a_lease_gets_its_run(here: Platform, leases: Leases, runs: FakeRuns, leased: str, attempt_of: Any):
    """Submitted once, to its instance type's pool, with the code to claim it and no other secret."""
    leases.submit()
    leases.submit()
    (given,) = runs.submitted.values()
    assert attempt_of(leased).flow_run_id == f"run-of-{leased}"
    assert given["parameters"] == {"training_id": leased.removesuffix("-a1"), "attempt": 1}
    assert (given["name"], given["pool"], given["job_variables"]) == ("digits-1", "process", {})
    assert given["environment"] == {"EMF_CLAIM_CODE": verbs.claim_code(SECRET, leased), "EMF_ATTEMPT": leased}
    assert runs.calls == 1


def test_a_run_that_was_quicker_keeps_its_name(here: Platform, leases: Leases, runs: FakeRuns, leased: str, attempt_of):
    """A run that claims before its submission is noted is the attempt's run."""
    submit = runs.submit

    def quick(attempt_id: str, *rest: Any, **given: Any) -> str:
        with here.records.writing() as session:
            verbs.claim(session, attempt_id, "token", "the claimer")
        return submit(attempt_id, *rest, **given)

    runs.submit = quick
    leases.submit()
    assert attempt_of(leased).flow_run_id == "the claimer"


def test_while_prefect_is_away_the_lease_stays(
    leases: Leases, runs: FakeRuns, leased: str, attempt_of: Any, clock: Clock
):
    """It is submitted at a later round, not at each."""
    runs.faults["process"] = PrefectAway("away")
    with pytest.raises(PrefectAway):
        leases.submit()
    assert attempt_of(leased).flow_run_id == ""
    leases.submit()
    assert runs.calls == 1
    runs.faults.clear()
    clock.now += pause_after(1)
    leases.submit()
    assert attempt_of(leased).flow_run_id


def test_one_that_is_never_submitted_holds_up_no_other(
    here: Platform, leases: Leases, runs: FakeRuns, make: Callable[..., str], attempt_of: Any
):
    """Where Prefect always fails for the first, those behind it get their runs in the same round."""
    sizes = "- {name: cpu.small, vcpus: 1, memory_gb: 1}\n- {name: odd, vcpus: 1, memory_gb: 1, pool: broken}\n"
    catalogue(here, sizes)
    odd, usual = make(instance_type="odd"), make()
    runs.faults["broken"] = PrefectAway("500")
    leases.grant()
    with pytest.raises(PrefectAway):
        leases.submit()
    assert attempt_of(f"{odd}-a1").flow_run_id == ""
    assert attempt_of(f"{usual}-a1").flow_run_id


def test_a_pool_without_its_flow_holds_up_nobody_else(here: Platform, leases: Leases, runs: FakeRuns, make, attempt_of):
    """An instance type whose pool was never deployed waits; those behind it start."""
    sizes = "- {name: cpu.small, vcpus: 1, memory_gb: 1}\n- {name: odd, vcpus: 1, memory_gb: 1, pool: nowhere}\n"
    catalogue(here, sizes)
    odd, usual = make(instance_type="odd"), make()
    runs.faults["nowhere"] = NotDeployed("not deployed")
    leases.grant()
    leases.submit()
    row = attempt_of(f"{odd}-a1")
    assert (row.flow_run_id, row.progress, row.submitted_at) == ("", "cannot be started: not deployed", None)
    assert attempt_of(f"{usual}-a1").flow_run_id
    runs.faults.clear()
    leases.submit()
    row = attempt_of(f"{odd}-a1")
    assert (row.progress, row.submitted_at is not None) == ("", True)


def test_an_instance_type_that_left_the_catalogue_is_told(here: Platform, leases: Leases, leased: str, attempt_of: Any):
    """A lease whose size nobody knows any more says so instead of waiting without a word."""
    catalogue(here, "- {name: other, vcpus: 1, memory_gb: 1}")
    leases.submit()
    assert attempt_of(leased).progress == "cannot be started: cpu.small is no longer in the catalogue"


def test_only_so_many_start_at_once(here: Platform, leases: Leases, runs: FakeRuns, make: Callable[..., str]):
    """The next is submitted when one of those that are starting has been claimed."""
    catalogue(here, "- {name: cpu.small, vcpus: 1, memory_gb: 0.1, pool: process}\n")
    attempts = [f"{make()}-a1" for _ in range(6)]
    leases.grant()
    leases.submit()
    leases.submit()
    assert list(runs.submitted) == attempts[:4]
    with here.records.writing() as session:
        verbs.claim(session, attempts[0], "token", "the claimer")
    leases.submit()
    assert list(runs.submitted) == attempts[:5]
