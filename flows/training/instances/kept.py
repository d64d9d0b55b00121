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


def kept_folder(home: Path, training_id: str) -> Path:
    """Return where a training's model is kept on this machine until it has reached its place."""
    return home / "kept" / training_id / "model"


def keep(instance: Instance, home: Path) -> Path:
    """Move the model out of the attempt's folder and return where it is; again, it is there already.

    Raises:
        OSError: it cannot be moved; it is whole where it was.
    """
    left, folder = instance.folders.model, kept_folder(home, instance.assignment.training_id)
    if left.is_dir():
        open_up(left)
        make_links_relative(left)
        discard(folder)  # of an attempt that was given up: this one's counts
        move_whole(left, folder)
    folder.mkdir(parents=True, exist_ok=True)
    instance.root.mkdir(parents=True, exist_ok=True)  # the note that this attempt is still to be tidied
    return folder


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
