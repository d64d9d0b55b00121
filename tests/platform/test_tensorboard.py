"""TensorBoard over a training and over an experiment: opened when asked for."""

from types import ModuleType

import httpx
import pytest

from tests.platform.batch import EPOCHS, Batch, Training
from tests.platform.deadlines import within


@pytest.fixture(scope="module")
def digits(batch: Batch) -> Training:
    return batch.ended("digits")


def runs(page: str) -> list[str]:
    return httpx.get(f"{page}data/runs", trust_env=False, timeout=30).raise_for_status().json()


def test_a_trainings_page_shows_its_scalars(api: ModuleType, digits: Training):
    """The page answers, and its API has the script's scalars, a point an epoch."""
    page = api.tensorboard(training=digits["id"])
    assert "TensorBoard" in httpx.get(page, trust_env=False, timeout=30).raise_for_status().text
    run = within(60, lambda: runs(page), "the run in TensorBoard")[0]
    answer = httpx.get(
        f"{page}data/plugin/scalars/scalars", params={"run": run, "tag": "accuracy"}, trust_env=False, timeout=30
    )
    points = answer.raise_for_status().json()
    assert [step for _, step, _ in points] == list(range(1, EPOCHS + 1))
    assert points[-1][2] > 0.9


def test_opened_twice_it_is_the_same_page(api: ModuleType, digits: Training):
    """And where people look at the training, its page is told."""
    page = api.tensorboard(training=digits["id"])
    assert api.tensorboard(training=digits["name"] if unique(api, digits) else digits["id"]) == page
    assert api.show_training(digits["id"])["pages"]["tensorboard"] == page


def unique(api: ModuleType, training: Training) -> bool:
    return sum(row["name"] == training["name"] for row in api.list_trainings(limit=500)) == 1


def test_an_experiments_page_shows_all_of_its_trainings(api: ModuleType, digits: Training):
    """Each by its name, on a page of its own."""
    page = api.tensorboard(experiment="platform")
    assert page != api.tensorboard(training=digits["id"])
    assert within(60, lambda: [run for run in runs(page) if run.startswith("digits")], "the training's run")
