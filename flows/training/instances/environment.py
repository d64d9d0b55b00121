"""The environment that a script runs in: its image's, and its own requirements on top of that."""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from blocks.errors import Permanent, Temporary
from blocks.logs.errors import LogError
from blocks.pools.command import CommandStopped
from blocks.pools.environments import Environments, InstallStopped, RequirementsFailed, overlay
from blocks.storage.os_errors import os_faults
from flows.training.ends.verdict import Cause
from flows.training.instances.instance import Instance, Interrupted, StepFailed

INSTALL_SECONDS = 1800
FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


def of_image(instance: Instance, home: Path) -> Path:
    """Return the python of the image's environment; the first training of an image makes it.

    Raises:
        StepFailed: it cannot be made (IMAGE), or not now (PLATFORM), or the disk is full (STORAGE).
        blocks.storage.errors.StorageError: what it is made in cannot be written.
        Interrupted: the attempt is to end.
    """
    instance.say(f"preparing the image {instance.assignment.spec.image}")
    with os_faults(home, "make an environment in"):
        try:
            return Environments(home).ensure(instance.assignment.environment, instance.say, instance.is_to_end)
        except CommandStopped as error:
            raise Interrupted from error
        except Permanent as error:
            raise StepFailed(_cause([str(error)], Cause.IMAGE), str(error)) from error
        except Temporary as error:
            raise StepFailed(Cause.PLATFORM, str(error)) from error


def with_requirements(instance: Instance, python: Path) -> Path:
    """Install `requirements.txt` beside the entry point into the attempt's own place; returns the python to run.

    Raises:
        StepFailed: it does not install (REQUIREMENTS, with pip's words), or not now (PLATFORM), or the disk is full
            (STORAGE).
        blocks.storage.errors.StorageError: what it is installed into cannot be written.
        Interrupted: the attempt is to end.
    """
    entry_point = instance.folders.source / instance.assignment.spec.entry_point
    requirements = entry_point.parent / "requirements.txt"
    if not requirements.is_file():
        return python
    instance.say("installing requirements.txt")

    def show(line: str) -> None:
        with suppress(LogError):  # what is only shown ends nothing
            instance.log.write([(line, 0)], "platform")

    folder = instance.root / "environment"
    with os_faults(folder, "make"):
        try:
            return overlay(python, folder, requirements, show, deadline=INSTALL_SECONDS, should_stop=instance.is_to_end)
        except InstallStopped as error:
            raise Interrupted from error
        except RequirementsFailed as error:
            instance.go_on()
            cause = _cause(error.last_lines, Cause.REQUIREMENTS)
            raise StepFailed(cause, error.what, tuple(error.last_lines)) from error
        except Temporary as error:
            raise StepFailed(Cause.PLATFORM, str(error)) from error


def _cause(said: Sequence[str], otherwise: Cause) -> Cause:
    """Return what an installer's failure is called, by its words: a full disk says nothing of what it installs."""
    return Cause.STORAGE if any(words in line for words in FULL for line in said) else otherwise
