"""Short paths: one rule for every command."""

from pathlib import Path
from typing import Any

import pytest

from blocks.settings import Settings
from flows.cli.places import with_places, written_out

SETTINGS = Settings(home=Path("/srv/emf"))
OWN = "obs://127.0.0.1:8480"


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("trainings/x/y", f"{OWN}/trainings/x/y"),
        ("trainings", f"{OWN}/trainings"),
        ("trainings/", f"{OWN}/trainings"),
        ("obs://other.host/c/x", "obs://other.host/c/x"),
        ("nas://n:/x", "nas://n:/x"),
        ("/data/x", "/data/x"),
        ("./x", "./x"),
        ("", ""),
    ],
)
def test_a_container_is_in_the_own_store(word: str, path: str):
    """With or without a path in it; what has a scheme, or names a folder here, is left as it was written."""
    assert written_out(SETTINGS, word) == path


def test_every_path_of_a_request_may_be_short():
    """Those of the data sets too; other fields stay as they are, and the request itself does not change."""
    request: dict[str, Any] = {
        "name": "a/b",
        "algorithm_path": "code",
        "output_path": "out/x",
        "checkpoint_path": "kept/x",
        "data_sets": [{"name": "d", "path": "data/d"}],
    }
    found = with_places(SETTINGS, request)
    assert found == {
        "name": "a/b",
        "algorithm_path": f"{OWN}/code",
        "output_path": f"{OWN}/out/x",
        "checkpoint_path": f"{OWN}/kept/x",
        "data_sets": [{"name": "d", "path": f"{OWN}/data/d"}],
    }
    assert request["data_sets"] == [{"name": "d", "path": "data/d"}]


@pytest.mark.parametrize(
    "wrong", [{"output_path": 5}, {"data_sets": "x/y"}, {"data_sets": [1, {"path": 2}, {"a": "b"}]}]
)
def test_what_is_no_path_is_left_for_the_check(wrong: dict[str, Any]):
    """It is told there, with all other faults."""
    assert with_places(SETTINGS, wrong) == wrong
