"""A script's own requirements, and what is told where they do not install."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.logs.errors import LogStoreAway
from blocks.platform import Platform
from blocks.pools.environments import EnvironmentBroken, InstallStopped, RegistryAway, RequirementsFailed
from blocks.storage.errors import NoSpace
from flows.training.ends.verdict import Cause
from flows.training.instances import environment
from flows.training.instances.instance import Instance, Interrupted, StepFailed
from flows.training.instances.staging import stage_in
from tests.flows.training.disks import full_disk

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


FULL = "OSError: [Errno 28] No space left on device"


def test_a_full_disk_is_no_fault_of_the_requirements(one: Instance, pip: Callable[..., None]):
    """By pip's words, which stay; so the attempt is tried again."""
    pip(RequirementsFailed(["Collecting nosuch", f"ERROR: Could not install packages due to an {FULL}", "a note"], 1))
    with pytest.raises(StepFailed) as caught:
        environment.with_requirements(one, PYTHON)
    assert caught.value.cause == Cause.STORAGE
    assert FULL in str(caught.value)


def test_a_disk_without_room_for_the_attempts_environment(one: Instance, pip: Callable[..., None]):
    """What the system says is told as a full disk."""
    pip(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(NoSpace):
        environment.with_requirements(one, PYTHON)


def test_a_disk_without_room_for_the_images_environment(instance: Callable[..., Instance], here: Platform):
    """It is a full disk, and neither the image's fault nor the platform's."""
    with full_disk(here.settings.home / "environments"), pytest.raises(NoSpace):
        environment.of_image(instance(), here.settings.home)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("error: Failed to write: No space left on device (os error 28)", Cause.STORAGE),
        ("no such package", Cause.IMAGE),
    ],
)
def test_whose_fault_an_image_is_that_cannot_be_made(
    instance: Callable[..., Instance], here: Platform, monkeypatch: pytest.MonkeyPatch, words: str, cause: Cause
):
    """The installer's words tell."""

    def ensure(*_: object) -> None:
        raise EnvironmentBroken(f"The environment could not be made; uv exited with 2 and said:\n{words}")

    monkeypatch.setattr(environment.Environments, "ensure", ensure)
    with pytest.raises(StepFailed) as caught:
        environment.of_image(instance(), here.settings.home)
    assert caught.value.cause == cause
