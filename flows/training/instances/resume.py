"""The checkpoint that an attempt goes on from: the newest of its training's that is whole, or what a person gave."""

import shutil
from collections.abc import Callable

from blocks.storage.errors import NotFound
from blocks.storage.location import DERIVED_LIMIT, parse
from blocks.storage.os_errors import os_faults
from flows.training.checkpoints.checkpoint import OWN_FOLDER, Fetched, Known, fetch, fetch_committed
from flows.training.checkpoints.manifest import Damaged, Manifest
from flows.training.checkpoints.provenance import Provenance, differences
from flows.training.checkpoints.snapshot import signature
from flows.training.instances.instance import Instance
from flows.training.instances.listing import listed
from flows.training.instances.patience import STAGING_IN, patiently
from flows.training.instances.room import in_room

Tell = Callable[[str, float], None]
Borrowed = dict[str, tuple[int, int]]


def bring_checkpoint(instance: Instance, made_from: Provenance, tell: Tell) -> Borrowed:
    """Bring the checkpoint to go on from, if there is one; returns what of it is other instances' own.

    Args:
        instance: with its folders empty.
        made_from: what this attempt works with; in what the checkpoint's differs is told.
        tell: called with what is copied and how much of it is there, from 0 to 1.

    Raises:
        StepFailed: it could not be reached (STORAGE), or what a person gave is damaged (DATA).
        Interrupted: the attempt is to end.
    """
    of = instance.assignment
    for path in of.resume_from:
        instance.say(f"going on from the checkpoint {path}")
        got = patiently(instance, STAGING_IN, lambda p=path: _hand_over(instance, p, tell))
        if isinstance(got, Fetched) and got.manifest:
            instance.resumed = Known(parse(path, DERIVED_LIMIT), got.manifest)
            _tell_resumed(instance, path, got.manifest, made_from)
            now = signature(instance.folders.checkpoint)
            return {name: now[name] for name in got.borrowed}
        instance.log.say(f"passed over: {got}", "WARNING")
        instance.door.warn(f"Warning: attempt {of.number} does not go on from {path}: {got}")
    given = bool(of.spec.checkpoint_path) and patiently(instance, STAGING_IN, lambda: _given(instance, made_from, tell))
    if not given and of.number > 1:
        _tell_resumed(instance, "", None, made_from)
    return {}


def _hand_over(instance: Instance, path: str, tell: Tell) -> Fetched | str:
    """Bring a checkpoint of ours to where the script reads and writes; of one that is not whole return the fault.

    What a script overwrites in place must be there as it left it.
    """
    given, written = instance.folders.checkpoint_input, instance.folders.checkpoint
    progress = instance.progress("the checkpoint", tell)
    try:
        with in_room("the checkpoint", given, written), os_faults(written, "copy to"):
            got = fetch_committed(instance.storage, path, given, instance.rank.index, progress)
            shutil.copytree(given, written, dirs_exist_ok=True, copy_function=_copy_file)
            return got
    except (Damaged, NotFound) as error:
        return str(error)


def _copy_file(source: str, target: str) -> None:
    with os_faults(target, "copy to"):  # which copytree would gather into an error that has lost its kind
        shutil.copy2(source, target)


def _given(instance: Instance, made_from: Provenance, tell: Tell) -> bool:
    """Hand over what a person put at the checkpoint path, if anything; trainings' own folders there are theirs."""
    path, folder = instance.assignment.spec.checkpoint_path, instance.folders.checkpoint_input
    if all(OWN_FOLDER.match(entry.key) for entry in listed(instance, "the checkpoint", path)):
        return False
    progress = instance.progress("the checkpoint", tell)
    with in_room("the checkpoint", folder):
        got = fetch(instance.storage, path, folder, instance.rank.index, progress)
    how = "verified" if got.manifest else "unverified, as it is: it carries no manifest of ours"
    instance.say(f"checkpoint input from {path} ({how})")
    _tell_resumed(instance, path, got.manifest, made_from)
    return True


def _tell_resumed(instance: Instance, path: str, manifest: Manifest | None, made_from: Provenance) -> None:
    """Tell from where it goes on, and what was different when that was made; one instance speaks for all."""
    if instance.rank.index != 0:
        return
    made_by = manifest.made_from if manifest is not None else None
    differs = differences(made_by, made_from) if made_by is not None else []
    for one in differs:
        instance.log.say(f"the checkpoint {path} was made under other conditions: {one}", "WARNING")
    instance.door.resumed(path, is_verified=manifest is not None, differs=differs)
