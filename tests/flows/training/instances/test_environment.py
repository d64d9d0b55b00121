"""A script's own requirements, and what is told where they do not install."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.logs.errors import LogStoreAway
from blocks.pools.environments import InstallStopped, RegistryAway, RequirementsFailed
from flows.training.ends.verdict import Cause
from flows.training.instances import environment
from flows.training.instances.instance import Instance, Interrupted, StepFailed
from flows.training.instances.staging import stage_in

PYTHON = Path(sys.executable)


@pytest.fixture
def one(instance: Callable[..., Instance], tmp_path: Path) -> Instance:
    """An instance whose script has a requirements.txt."""
    (tmp_path / "places" / "code" / "requirements.txt").write_text("nosuch\n")
    found = instance()
    stage_in(found, lambda _what, _share: None)
    return found


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have pip print a line and then return the python, or raise."""

    def end(error: Exception | None = None) -> None:
        def overlay(
            _base: Path, folder: Path, _requirements: Path, line: Callable[[str], None], **_words: object
        ) -> Path:
            line("Collecting nosuch")
            if error:
                raise error
            return folder / "bin" / "python"

        monkeypatch.setattr(environment, "overlay", overlay)

    return end


def test_without_requirements_the_image_is_enough(instance: Callable[..., Instance]):
    """Nothing is made."""
    found = instance()
    stage_in(found, lambda _what, _share: None)
    assert environment.with_requirements(found, PYTHON) == PYTHON


def test_pips_words_are_told_once(one: Instance, pip: Callable[..., None]):
    """The error is one line, the rest is in the last lines."""
    pip(RequirementsFailed(["Collecting nosuch", "ERROR: No matching distribution found for nosuch"], 1))
    with pytest.raises(StepFailed) as caught:
        environment.with_requirements(one, PYTHON)
    assert caught.value.cause == Cause.REQUIREMENTS
    assert str(caught.value).endswith("(exit code 1): ERROR: No matching distribution found for nosuch")
    assert caught.value.last_lines[0] == "Collecting nosuch"
    assert "Collecting" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"), [(InstallStopped("stopped"), Interrupted), (RegistryAway("nobody answers"), StepFailed)]
)
def test_what_is_not_the_requirements_fault(
    one: Instance, pip: Callable[..., None], error: Exception, expected: type[Exception]
):
    """A stop is none, and a registry that is away is worth another attempt."""
    pip(error)
    with pytest.raises(expected) as caught:
        environment.with_requirements(one, PYTHON)
    assert getattr(caught.value, "cause", Cause.PLATFORM) == Cause.PLATFORM


def test_a_log_that_is_away_does_not_end_the_installation(one: Instance, pip: Callable[..., None]):
    """What pip prints is only shown."""
    pip()

    def full(_lines: object) -> None:
        raise LogStoreAway("No space left on device.")

    one.log._sink.write = full
    assert environment.with_requirements(one, PYTHON) == one.root / "environment" / "bin" / "python"
