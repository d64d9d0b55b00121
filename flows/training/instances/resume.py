"""The checkpoint that an attempt goes on from: the newest of its training's that is whole, or what a person gave."""

import shutil
from collections.abc import Callable, Sequence

from blocks.storage.errors import NotFound
from blocks.storage.location import DERIVED_LIMIT, parse
from blocks.storage.os_errors import os_faults
from flows.training.checkpoints.checkpoint import Fetched, Known, fetch, fetch_committed
from flows.training.checkpoints.manifest import Damaged, Manifest
from flows.training.checkpoints.paths import OWN_FOLDER
from flows.training.checkpoints.provenance import differences
from flows.training.checkpoints.snapshot import signature
from flows.training.checkpoints.start import Start
from flows.training.instances.instance import Instance
from flows.training.instances.listing import listed
from flows.training.instances.patience import STAGING_IN, patiently
from flows.training.instances.room import empty, in_room

Tell = Callable[[str, float], None]
Borrowed = dict[str, tuple[int, int]]


def bring_checkpoint(instances: Sequence[Instance], tell: Tell) -> None:
    """Bring the checkpoint to go on from, if there is one: the same for all instances of an attempt.

    Args:
        instances: staged in, but for the checkpoint.
        tell: called with what is copied and how much of it is there, from 0 to 1.

    Raises:
        StepFailed: it could not be reached (STORAGE), or what a person gave is damaged (DATA).
        Interrupted: the attempt is to end.
    """
    first = instances[0]
    of = first.assignment
    borrowed = dict.fromkeys(range(len(instances)), Borrowed())
    for path in of.resume_from:
        first.say(f"going on from the checkpoint {path}")
        got = _hand_over_to_all(instances, path, tell)
        if not isinstance(got, str):
            borrowed = {one.rank.index: _borrowed(one, path, fetched) for one, fetched in got}
            break
        first.log.say(f"passed over: {got}", "WARNING")
        first.door.warn(f"Warning: attempt {of.number} does not go on from {path}: {got}")
    else:
        _bring_given(instances, tell)
    for one in instances:
        Start(made_from=one.made_from, borrowed=borrowed[one.rank.index]).write(one.root)


def _hand_over_to_all(instances: Sequence[Instance], path: str, tell: Tell) -> list[tuple[Instance, Fetched]] | str:
    """Hand a checkpoint to every instance; where it is not whole for one of them nobody gets it: return the fault."""
    got: list[tuple[Instance, Fetched]] = []
    for one in instances:
        fetched = patiently(one, STAGING_IN, lambda o=one: _hand_over(o, path, tell))
        if isinstance(fetched, str):
            for other in instances:
                empty([other.folders.checkpoint_input, other.folders.checkpoint])
            return fetched
        got.append((one, fetched))
    _tell_resumed(instances[0], path, got[0][1].manifest)
    return got


def _borrowed(instance: Instance, path: str, got: Fetched) -> Borrowed:
    if got.manifest:
        instance.resumed = Known(parse(path, DERIVED_LIMIT), got.manifest)
    now = signature(instance.folders.checkpoint)
    return {name: now[name] for name in got.borrowed}


def _bring_given(instances: Sequence[Instance], tell: Tell) -> None:
    """Hand over what a person gave; without that an attempt that is not the first tells that it begins anew."""
    first = instances[0]
    if first.assignment.spec.checkpoint_path:
        got = [patiently(one, STAGING_IN, lambda o=one: _given(o, tell)) for one in instances]
        if got[0] is not None:
            _tell_resumed(first, first.assignment.spec.checkpoint_path, got[0].manifest)
            return
    if first.assignment.number > 1:
        _tell_resumed(first, "", None)


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


def _given(instance: Instance, tell: Tell) -> Fetched | None:
    """Hand over what a person put at the checkpoint path, if anything; trainings' own folders there are theirs."""
    path, folder = instance.assignment.spec.checkpoint_path, instance.folders.checkpoint_input
    if all(OWN_FOLDER.match(entry.key) for entry in listed(instance, "the checkpoint", path)):
        return None
    progress = instance.progress("the checkpoint", tell)
    with in_room("the checkpoint", folder):
        got = fetch(instance.storage, path, folder, instance.rank.index, progress)
    how = "verified" if got.manifest else "unverified, as it is: it carries no manifest of ours"
    instance.say(f"checkpoint input from {path} ({how})")
    return got


def _tell_resumed(instance: Instance, path: str, manifest: Manifest | None) -> None:
    """Tell from where the attempt goes on, and what was different when that was made."""
    made_by = manifest.made_from if manifest is not None else None
    differs = differences(made_by, instance.made_from) if made_by is not None and instance.made_from else []
    for one in differs:
        instance.log.say(f"the checkpoint {path} was made under other conditions: {one}", "WARNING")
    instance.door.resumed(path, is_verified=manifest is not None, differs=differs)
