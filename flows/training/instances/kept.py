"""Where a model is between its script's end and its place: outside the attempt's folder, which goes with the attempt.

A model lies there as a whole or not at all. While it does, its script is not run again: it has ended well, and only
the model is still to be put in its place.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from flows.training.instances.instance import Instance
from flows.training.instances.permissions import open_up
from flows.training.whole import discard, put

ENDED = "model.ended-"
BOOT = Path("/proc/sys/kernel/random/boot_id")


def kept_folder(home: Path, training_id: str) -> Path:
    """Return where a training's model is kept on this machine until it has reached its place."""
    return home / "kept" / training_id / "model"


def is_kept(home: Path, training_id: str) -> bool:
    """Say whether a model is kept there: its script has ended well."""
    folder = kept_folder(home, training_id)
    return folder.is_dir() or _ended(folder).is_dir()


def keep(instance: Instance, home: Path) -> Path:
    """Move the model out of the attempt's folder and return where it is; again, it is there already.

    It is out of the attempt's folder at once, so that from there no kill costs it; what the disk does not have yet only
    the end of the machine can take.

    Raises:
        OSError: it cannot be moved; it is whole where it was.
    """
    left, folder = instance.folders.model, kept_folder(home, instance.assignment.training_id)
    ended = _ended(folder)
    if left.is_dir():
        open_up(left)
        make_links_relative(left)
        for old in list(folder.parent.glob(f"{folder.name}*")):  # of an attempt that was given up: this one's counts
            discard(old)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            left.rename(ended)
        except OSError:
            move_whole(left, folder)
    if ended.is_dir():
        try:
            put(ended, folder)
        except OSError:
            folder = ended  # the disk is not well: it may still be sent from here
    folder.mkdir(parents=True, exist_ok=True)
    instance.root.mkdir(parents=True, exist_ok=True)  # the note that this attempt is still to be tidied
    return folder


def _ended(folder: Path) -> Path:
    """Return where a model lies until the disk has all of it: another start of the machine does not know of it."""
    return folder.with_name(f"{ENDED}{BOOT.read_text().strip()}")


def move_whole(source: Path, target: Path) -> None:
    """Move a folder as a whole or not at all; what cannot be renamed, as on two disks, is copied.

    Raises:
        OSError: it cannot be moved; it is whole where it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    coming = target.with_name(f"{target.name}.coming")
    shutil.rmtree(coming, ignore_errors=True)  # of who was killed in the middle of this
    try:
        put(source, target)
    except OSError:
        try:
            shutil.copytree(source, coming, symlinks=True)
            put(coming, target)
        except OSError:
            shutil.rmtree(coming, ignore_errors=True)  # half a copy holds room that others need
            raise
        with suppress(OSError):
            discard(source)


def make_links_relative(folder: Path) -> None:
    """Let links among a folder's own files survive its move: they may name it by the place that it leaves."""
    inside = os.path.realpath(folder)
    for parent, folders, files in os.walk(folder):
        for link in (Path(parent, name) for name in (*folders, *files)):
            end = os.path.realpath(link)
            if link.is_symlink() and link.readlink().is_absolute() and end.startswith(f"{inside}{os.sep}"):
                aside = link.with_name(f"{link.name}.relative")
                aside.unlink(missing_ok=True)
                aside.symlink_to(os.path.relpath(end, os.path.realpath(parent)))
                aside.replace(link)
