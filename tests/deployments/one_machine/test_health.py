"""Whether a worker is well, as Prefect tells it."""

import pytest

from deployments.one_machine.health import worker_fault

STARTED = 1_800_000_000  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("beat", "status", "fault"),
    [
        ("2027-01-15T08:00:05Z", "ONLINE", ""),
        ("2027-01-15T07:59:59Z", "ONLINE", "has not reported to Prefect yet"),  # the one that died before
        (None, "ONLINE", "has not reported to Prefect yet"),
        ("2027-01-15T08:00:05Z", "OFFLINE", "is OFFLINE at Prefect"),
    ],
)
def test_only_a_beat_of_this_process_counts(beat: str | None, status: str, fault: str) -> None:
    """A worker is well when it is online by a beat of its own."""
    workers = [{"name": "worker-process", "last_heartbeat_time": beat, "status": status}]
    assert worker_fault(workers, "worker-process", STARTED) == fault


def test_another_worker_of_the_pool_does_not_count() -> None:
    """A worker is asked for by its own name."""
    workers = [{"name": "elsewhere", "last_heartbeat_time": "2027-01-15T08:00:05Z", "status": "ONLINE"}]
    assert worker_fault(workers, "worker-process", STARTED) == "is not known to Prefect"
