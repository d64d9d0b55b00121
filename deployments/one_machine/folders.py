"""The platform's folder: what must be there before anything starts, and the lock for `up` and `down`."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blocks.hosts.supervisord import socket_path
from blocks.settings import Settings
from deployments.one_machine.errors import Busy, CannotStart
from deployments.one_machine.supervisord_conf import SERVICES

PRIVATE = ("", "prefect", "mlflow", "object_store", "supervisor", f"supervisor/{SERVICES}", "catalogue", "work", "logs")


def prepare(settings: Settings) -> None:
    """Make the folders of the platform, for its owner alone.

    Raises:
        CannotStart: a folder cannot be made or is another user's, or its file system lacks extended attributes.
    """
    home = settings.home
    try:
        for name in PRIVATE:
            (home / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            (home / name).chmod(0o700)
        _own(socket_path(home).parent)
    except OSError as error:
        raise CannotStart(
            f"Cannot make the platform's folders in {home}: {error}. EMF_HOME may name another."
        ) from error
    try:
        os.setxattr(home / "object_store", "user.swift.probe", b"1")  # Swift keeps its metadata there
    except OSError as error:
        raise CannotStart(
            f"The file system of {home} has no extended attributes ({error.strerror}), which the object store needs. "
            "Set EMF_HOME to a folder on ext4, xfs or btrfs."
        ) from error


@contextmanager
def lock(home: Path, seconds: float) -> Iterator[None]:
    """Hold the platform's lock; it goes with the process, however that ends.

    Raises:
        Busy: somebody else held it for all of the given seconds.
    """
    deadline = time.monotonic() + seconds
    with (home / "supervisor" / "lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"Another `emf up` or `emf down` has been at work on {home} for {seconds:.0f} s."
                    ) from error
                time.sleep(0.1)
        yield


def _own(folder: Path) -> None:
    """Make a folder that only this user can enter, or make sure that it is one: /tmp is everybody's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid():
        raise OSError(f"{folder} belongs to another user")
    folder.chmod(0o700)
