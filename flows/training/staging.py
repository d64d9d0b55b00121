"""What an instance needs comes in. Everything here can be stopped between two pieces of a file, and run again."""

import shutil
from collections.abc import Callable
from pathlib import Path

from blocks.catalogue.catalogue import GIB
from blocks.storage.location import parse
from blocks.storage.store import Transfer
from flows.training.checkpoint import OWN_FOLDER, fetch
from flows.training.instance import Instance, StepFailed
from flows.training.patience import STAGING_IN, patiently
from flows.training.verdict import Cause

SHOWN_SKIPPED = 5

Tell = Callable[[str, float], None]


def stage_in(instance: Instance, tell: Tell) -> None:
    """Bring the code, the data sets and the checkpoint to go on from into the instance's folders.

    Args:
        instance: the instance.
        tell: called with what is copied and how much of it is there, from 0 to 1.

    Raises:
        StepFailed: something is not there (DATA) or could not be reached (STORAGE).
        Interrupted: the attempt is to end.
    """
    spec, folders = instance.assignment.spec, instance.folders
    shutil.rmtree(instance.root, ignore_errors=True)
    for folder in (folders.model, folders.checkpoint_input, folders.checkpoint, folders.tensorboard):
        folder.mkdir(parents=True)
    folders.home.mkdir()
    folders.tmp.mkdir()
    patiently(instance, STAGING_IN, lambda: _copy(instance, "the code", spec.algorithm_path, folders.source, tell))
    for data_set in spec.data_sets:
        name, path, folder = data_set.name, data_set.path, folders.data_sets[data_set.name]
        patiently(instance, STAGING_IN, lambda n=name, p=path, f=folder: _data_set(instance, n, p, f, tell))
    patiently(instance, STAGING_IN, lambda: _checkpoint(instance, tell))


def _copy(instance: Instance, what: str, path: str, folder: Path, tell: Tell) -> None:
    instance.say(f"staging in {what} from {path}")
    folder.mkdir(parents=True, exist_ok=True)
    got = instance.storage.download(parse(path), folder, instance.progress(what, tell))
    instance.log.say(f"staged in {what}: {got.files} file(s), {got.bytes / 2**20:.1f} MiB")
    tell_skipped(instance, got)


def _data_set(instance: Instance, name: str, path: str, folder: Path, tell: Tell) -> None:
    mounted = instance.storage.mounted(parse(path))
    if mounted is not None:
        instance.say(f"the data set {name} is mounted from {path}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.unlink(missing_ok=True)
        folder.symlink_to(mounted)
        return
    limit = instance.assignment.spec.data_storage_gb * GIB
    size = sum(entry.size for entry in instance.storage.entries(parse(path)))
    if size > limit:
        message = f"The data set {name} has {size / GIB:.1f} GB, the data storage {limit / GIB:.0f} GB."
        raise StepFailed(Cause.DATA, message)
    _copy(instance, f"the data set {name}", path, folder, tell)


def _checkpoint(instance: Instance, tell: Tell) -> None:
    """Hand over the checkpoint to go on from: of an earlier attempt, else what lies at the checkpoint path."""
    assignment, folders = instance.assignment, instance.folders
    progress = instance.progress("the checkpoint", tell)
    if assignment.resume_from:
        instance.say(f"going on from the checkpoint {assignment.resume_from}")
        fetch(instance.storage, assignment.resume_from, folders.checkpoint_input, progress)
        # What a script overwrites in place must be there as it left it.
        shutil.copytree(folders.checkpoint_input, folders.checkpoint, dirs_exist_ok=True)
    elif assignment.spec.checkpoint_path and _is_given(instance):
        verified = fetch(instance.storage, assignment.spec.checkpoint_path, folders.checkpoint_input, progress)
        how = "verified" if verified else "as it is: it carries no manifest of ours"
        instance.say(f"checkpoint input from {assignment.spec.checkpoint_path} ({how})")


def _is_given(instance: Instance) -> bool:
    """Say whether a person put something at the checkpoint path; trainings' own folders are theirs."""
    entries = instance.storage.entries(parse(instance.assignment.spec.checkpoint_path))
    return any(not OWN_FOLDER.match(entry.key) for entry in entries)


def tell_skipped(instance: Instance, copied: Transfer) -> None:
    """Tell of files that were not copied: links that lead away, names that cannot be."""
    if not copied.skipped:
        return
    for one in copied.skipped:
        instance.log.say(f"not copied: {one}", "WARNING")
    more = len(copied.skipped) - SHOWN_SKIPPED
    rest = f" and {more} more, see the log" if more > 0 else ""
    instance.door.warn(f"Warning: not copied: {'; '.join(copied.skipped[:SHOWN_SKIPPED])}{rest}")
