"""One attempt, from its start to its evidence; the steps themselves are tried elsewhere."""

from collections.abc import Callable

import pytest

from blocks.platform import Platform
from flows.training import run
from flows.training.instance import Instance, StepFailed
from flows.training.kept import keep, kept_folder
from flows.training.verdict import Cause, Evidence
from tests.flows.training.folders import fill


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that were taken; a script ends well, and what it made is refused."""
    taken: list[str] = []

    def step(name: str, answer: object = None) -> None:
        def go(*_: object) -> object:
            taken.append(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(run, name, go)

    step("prepare_image")
    step("stage_in")
    step("install")
    step("run_script", Evidence(Cause.EXIT, exit_code=0))
    step("stage_out", StepFailed(Cause.OUTPUT, "The quota is full."))
    return taken


@pytest.fixture
def one(instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch) -> Instance:
    made = instance()
    monkeypatch.setattr(made.door, "stage_out", lambda _evidence: None)
    fill(made.folders.model, {"weights.pt": b"w"})
    return made


def test_a_script_that_ended_well_is_never_run_again(one: Instance, here: Platform, steps: list[str]):
    """A next attempt, whatever made it necessary, only puts the model that is kept in its place."""
    keep(one, here.settings.home)
    evidence = run.carry_out([one])
    assert steps == ["stage_out"]
    assert (evidence.cause, evidence.error) == (Cause.OUTPUT, "The quota is full.")


def test_a_model_is_out_of_the_attempts_folder_before_anything_is_waited_for(
    one: Instance, here: Platform, steps: list[str], monkeypatch: pytest.MonkeyPatch
):
    """When the controller is told that the script has ended, a kill costs no model any more."""
    told: list[bool] = []
    folder = kept_folder(here.settings.home, one.assignment.training_id)
    monkeypatch.setattr(one.door, "stage_out", lambda _evidence: told.append(folder.is_dir()))
    run.carry_out([one])
    assert told == [True]
    assert steps == ["prepare_image", "stage_in", "install", "run_script", "stage_out"]
