"""The boards in Prefect's UI are kept current, and their links lead somewhere."""

import json
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.platform.batch import Batch
from tests.platform.deadlines import within

Page = Callable[[str], str]
CURRENT_SECONDS = 10


@pytest.fixture(scope="module")
def page(prefect: httpx.Client) -> Page:
    """Return a board's Markdown as it is now; there is one artifact of that key."""

    def markdown(key: str) -> str:
        found = prefect.post("/artifacts/filter", json={"artifacts": {"key": {"any_": [key]}}}).json()
        assert len(found) == 1
        return str(found[0]["data"])

    return markdown


def links(markdown: str) -> list[str]:
    return re.findall(r"\]\((http[^)\s]+)\)", markdown)


def test_a_new_training_is_on_the_board_within_seconds(api: ModuleType, asked: Callable[..., Any], page: Page):
    """With its state; and when it has been stopped, the board says so, still as one artifact."""
    training = api.create_training(**asked("on the board", entry_point="counts.py"))["id"]
    within(CURRENT_SECONDS, lambda: training in page("trainings"), "the training on its board")
    api.stop_training(training)
    api.wait_for(training, seconds=120)

    def line() -> str:
        return next(line for line in page("trainings").splitlines() if training in line)

    assert "STOPPED" in within(CURRENT_SECONDS, lambda: line() if "STOPPED" in line() else "", "its end on the board")


def test_a_new_experiment_is_on_the_board_within_seconds(api: ModuleType, page: Page):
    """With links that open its filled-in forms."""
    made = api.create_experiment(name="on the board", if_exists="use")
    within(CURRENT_SECONDS, lambda: made["id"] in page("experiments"), "the experiment on its board")


@pytest.mark.parametrize("key", ["trainings", "experiments"])
def test_every_link_to_a_form_opens_one_filled_in(key: str, batch: Batch, page: Page, prefect: httpx.Client):
    """The deployment is there, and takes the parameters that the link carries."""
    forms = {url for url in links(page(key)) if "/v2/deployments/deployment/" in url}
    schemas: dict[str, dict[str, Any]] = {}
    assert len(forms) > 10
    for url in forms:
        parts = urlsplit(url)
        deployment = parts.path.split("/")[4]
        if deployment not in schemas:
            schemas[deployment] = prefect.get(f"/deployments/{deployment}").raise_for_status().json()
        known = schemas[deployment]["parameter_openapi_schema"]["properties"]
        filled = json.loads(parse_qs(parts.query).get("parameters", ["{}"])[0])
        assert set(filled) <= set(known), url


def test_a_copy_is_the_form_filled_in(batch: Batch, page: Page):
    """The link `copy` of a training carries its whole request."""
    training = batch.now("fails")
    line = next(line for line in page("trainings").splitlines() if training["id"] in line)
    url = re.search(r"\[copy\]\((http[^)\s]+)\)", line)[1]
    assert json.loads(parse_qs(urlsplit(url).query)["parameters"][0]) == training["request"]


def test_the_links_to_runs_and_mlflow_answer(batch: Batch, page: Page, prefect: httpx.Client, mlflow_run: Any):
    """Each names a run that is there."""
    training = batch.ended("fails")
    line = next(line for line in page("trainings").splitlines() if training["id"] in line)
    there = links(line)
    assert training["pages"]["run"] in there
    assert training["pages"]["mlflow"] in there
    prefect.get(f"/flow_runs/{training['pages']['run'].rpartition('/')[2]}").raise_for_status()
    assert mlflow_run(training["mlflow_run_id"])["info"]["run_name"] == "fails"
