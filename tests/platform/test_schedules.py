"""Schedules make runs."""

import httpx

from tests.platform.deadlines import within


def test_a_schedule_that_was_deployed_has_runs_to_come(prefect: httpx.Client):
    """The backstop's next runs are there; a library that is too new makes none, silently."""
    deployment = prefect.get("/deployments/name/reconcile/easymaker").raise_for_status().json()
    assert [schedule["slug"] for schedule in deployment["schedules"]] == ["backstop"]
    wanted = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "limit": 10,
    }
    runs = within(90, lambda: prefect.post("/flow_runs/filter", json=wanted).raise_for_status().json(), "a run to come")
    assert all(run["auto_scheduled"] for run in runs)
