"""What a script's processes use, on its way into the training's run."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.tracking import Tracking
from blocks.tracking.entities import Metric
from blocks.tracking.errors import NotFound, Unreachable
from flows.training.instances import usage
from flows.training.instances.contract import Rank
from flows.training.instances.instance import Instance
from flows.training.instances.usage import SAMPLE_SECONDS, Sampler, UsageLog

MEMORY, CPU = "system/training_memory_megabytes", "system/training_cpu_percentage"


class Kept(Tracking):
    """A run that keeps what it is sent, or raises what there is to raise."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.faults: list[Exception] = []
        self.sent: list[list[Metric]] = []

    def log_metrics(self, run_id: str, metrics: Sequence[Metric]) -> None:
        assert run_id == "run"
        if self.faults:
            raise self.faults.pop(0)
        self.sent.append(list(metrics))


@pytest.fixture
def one(instance: Callable[..., Instance]) -> Instance:
    """An instance that has a run."""
    found = instance()
    found.assignment.tracked.run_id = "run"
    return found


def sample(log: UsageLog, number: int) -> None:
    """Report so many megabytes so many times ten seconds after the start, and send what there is."""
    log.take(number * 10**6, 0.0, number * SAMPLE_SECONDS)
    log._send()


def test_a_sample_is_the_most_memory_and_the_mean_of_the_processors():
    """Every ten seconds, from what came since the last; the processors in percent of the vCPUs held."""
    sampler = Sampler("system/", vcpus=2)
    reports = [(10e6, 0.0), (90e6, 2.0), (20e6, 4.0), (30e6, 6.0), (20e6, 8.0), (10e6, 10.0), (20e6, 10.0)]
    taken = [sampler.take(int(memory), cpu, 100 + 2.0 * n) for n, (memory, cpu) in enumerate(reports)]
    assert [each for each in taken if each] == [{MEMORY: 90.0, CPU: 50.0}]
    assert sampler.take(10**6, 10.0, 120.0) == {MEMORY: 20.0, CPU: 0.0}


@given(st.lists(st.tuples(st.integers(0, 2**40), st.floats(0, 1e6), st.floats(0, 30))))
def test_no_sample_is_below_nothing_or_too_soon(reports: list[tuple[int, float, float]]):
    """Whatever is reported, also processor time that goes back as processes end."""
    sampler, now = Sampler("", vcpus=0.5), 0.0
    at: list[float] = []
    for memory, cpu, pause in reports:
        now += pause
        if given_one := sampler.take(memory, cpu, now):
            at.append(now)
            assert min(given_one.values()) >= 0
    assert all(later - earlier >= SAMPLE_SECONDS for earlier, later in pairwise(at))


def test_samples_reach_the_run(one: Instance):
    """Each once, also the last ones. Steps are the seconds trained, those of earlier attempts among them."""
    one.assignment.seconds_left = one.assignment.spec.maximum_seconds - 500
    kept = Kept()
    log = UsageLog(one, kept)
    log.start()
    for n in range(3):
        log.take(n * 10**6, 0.0, n * SAMPLE_SECONDS)
    log.finish()
    log.finish()
    assert [[(m.value, m.step) for m in batch if m.key == MEMORY] for batch in kept.sent] == [[(1.0, 510), (2.0, 520)]]


def test_each_instance_of_several_has_names_of_its_own(one: Instance):
    """As MLflow names the nodes of a run."""
    one.rank = Rank(1, 2, ("a", "b"))
    kept = Kept()
    log = UsageLog(one, kept)
    for number in range(2):
        sample(log, number)
    assert {metric.key for metric in kept.sent[0]} == {name.replace("/", "/1/") for name in (MEMORY, CPU)}


def test_what_mlflow_missed_comes_later(one: Instance, monkeypatch: pytest.MonkeyPatch):
    """While it is away values wait, the latest of them; then they are sent together."""
    monkeypatch.setattr(usage, "MOST_WAITING", 6)
    kept = Kept()
    kept.faults = [Unreachable("away")] * 10
    log = UsageLog(one, kept)
    for number in range(12):
        sample(log, number)
    assert [metric.value for metric in kept.sent[0] if metric.key == MEMORY] == [8.0, 9.0, 10.0, 11.0]


def test_a_run_that_is_gone_is_asked_no_more(one: Instance):
    """What refuses for good ends nothing, and is left alone."""
    kept = Kept()
    kept.faults = [NotFound("deleted")]
    log = UsageLog(one, kept)
    for number in range(3):
        sample(log, number)
    assert kept.sent == []


def test_an_attempt_that_was_given_up_writes_nothing(one: Instance):
    """The run is another attempt's by now."""
    kept = Kept()
    log = UsageLog(one, kept)
    one.door.given_up.set()
    for number in range(2):
        sample(log, number)
    assert kept.sent == []
