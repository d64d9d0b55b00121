"""`emf tensorboard`: what a person sees while the first one is made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.platform import Platform
from blocks.pools.environments import Environments
from blocks.records.errors import NotFound
from blocks.records.words import TrainingState
from flows import api
from flows.cli import tensorboard


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The environments that were made, each after a line of the installer's with brackets in it."""
    names: list[str] = []

    def ensure(_environments: Environments, name: str, progress: Callable[[str], None]) -> Path:
        progress("+ pkg[extra]==1 [/]")
        names.append(name)
        return Path("python")

    monkeypatch.setattr(Environments, "ensure", ensure)
    monkeypatch.setattr(api, "tensorboard", lambda training, _experiment: f"page of {training}")
    return names


def test_its_environment_is_made_where_a_person_sees_it(
    here: Platform, make: Callable[..., str], made: list[str], capsys: pytest.CaptureFixture[str]
):
    """It is made before the flow, which says nothing in a terminal; only the page is on standard output."""
    training = make(TrainingState.COMPLETE)
    tensorboard.tensorboard(training)
    assert made == ["tensorboard"]
    assert capsys.readouterr().out == f"page of {training}\n"


def test_a_wrong_name_is_told_at_once(here: Platform, made: list[str]):
    """Nothing is made for a training that is not there."""
    with pytest.raises(NotFound):
        tensorboard.tensorboard("no-such-training")
    assert made == []
