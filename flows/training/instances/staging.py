"""What an instance needs comes in. Everything here can be stopped between two pieces of a file, and run again."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from blocks.catalogue.catalogue import GIB
from blocks.storage.location import parse
from blocks.storage.os_errors import os_faults
from blocks.storage.store import Transfer
from flows.markdown import size
from flows.training.checkpoints.manifest import digest
from flows.training.checkpoints.provenance import DataSetUsed, Provenance, code_digest, first_files
from flows.training.checkpoints.snapshot import signature
from flows.training.ends.verdict import Cause
from flows.training.fields import DataSet
from flows.training.instances.instance import Instance, StepFailed
from flows.training.instances.listing import listed
from flows.training.instances.patience import STAGING_IN, patiently
from flows.training.instances.room import in_room

SHOWN_SKIPPED = 5
OWN_DISK = replace(STAGING_IN, refused=Cause.PLATFORM)  # what cannot be made there is no fault of what is read

Tell = Callable[[str, float], None]


def stage_in(instance: Instance, tell: Tell) -> None:
    """Bring the code and the data sets into the instance's folders; `resume` brings the checkpoint, to all at once.

    Args:
        instance: the instance.
        tell: called with what is copied and how much of it is there, from 0 to 1.

    Raises:
        StepFailed: something is not there (DATA), could not be reached or found no room (STORAGE).
        Interrupted: the attempt is to end.
    """
    spec, folders = instance.assignment.spec, instance.folders
    patiently(instance, OWN_DISK, lambda: _make_folders(instance))
    patiently(instance, STAGING_IN, lambda: _copy(instance, "the code", spec.algorithm_path, folders.source, tell))
    copied = [data_set for data_set in spec.data_sets if not _is_mounted(instance, data_set)]
    used = _check_sizes(instance, copied)
    for one in copied:
        what, folder = f"the data set {one.name}", folders.data_sets[one.name]
        patiently(instance, STAGING_IN, lambda w=what, o=one, f=folder: _copy(instance, w, o.path, f, tell))
    instance.made_from = _provenance(instance, used)


def _make_folders(instance: Instance) -> None:
    """Make the folders that the script writes to, all of them empty, and nothing beside them."""
    folders = instance.folders
    with os_faults(instance.root, "make the folders in"):
        shutil.rmtree(instance.root, ignore_errors=True)
        for folder in (folders.model, folders.checkpoint_input, folders.checkpoint, folders.tensorboard):
            folder.mkdir(parents=True)
        folders.home.mkdir()
        folders.tmp.mkdir()


def _copy(instance: Instance, what: str, path: str, folder: Path, tell: Tell) -> None:
    instance.say(f"staging in {what} from {path}")
    with in_room(what, folder):
        got = instance.storage.download(parse(path), folder, instance.progress(what, tell))
    instance.log.say(f"staged in {what}: {got.files} file(s), {size(got.bytes)}")
    tell_skipped(instance, got)


def _is_mounted(instance: Instance, data_set: DataSet) -> bool:
    """Mount a data set where that is possible: what lies on a NAS is not copied."""
    mounted = patiently(instance, STAGING_IN, lambda: instance.storage.mounted(parse(data_set.path)))
    if mounted is None:
        return False
    instance.say(f"the data set {data_set.name} is mounted from {data_set.path}")
    patiently(instance, OWN_DISK, lambda: _link(instance.folders.data_sets[data_set.name], mounted))
    return True


def _link(folder: Path, mounted: Path) -> None:
    with os_faults(folder, "make"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(mounted)


def _check_sizes(instance: Instance, copied: Sequence[DataSet]) -> dict[str, DataSetUsed]:
    """Make sure that what is copied fits, all of it together: it may have grown since the request was checked."""
    used = {one.name: patiently(instance, STAGING_IN, lambda o=one: _used(instance, o)) for one in copied}
    limit = instance.assignment.spec.data_storage_gb
    if sum(one.bytes for one in used.values()) > limit * GIB:
        each = ", ".join(f"{name} {one.bytes / GIB:.1f} GB" for name, one in used.items())
        raise StepFailed(Cause.DATA, f"The data sets need more than the data storage of {limit} GB: {each}.")
    return used


def _used(instance: Instance, data_set: DataSet) -> DataSetUsed:
    return DataSetUsed.of(data_set.path, listed(instance, f"the data set {data_set.name}", data_set.path))


def _provenance(instance: Instance, used: Mapping[str, DataSetUsed]) -> Provenance:
    """Return what this attempt works with."""
    spec, source = instance.assignment.spec, instance.folders.source
    with os_faults(source, "read"):
        code = {name: digest(source / name) for name in signature(source)}
    return Provenance(
        image=spec.image,
        instances=instance.rank.count,
        hyperparameters=dict(spec.hyperparameters),
        code=first_files(code),
        code_digest=code_digest(code),
        data_sets={one.name: used.get(one.name) or DataSetUsed(path=one.path) for one in spec.data_sets},
    )


def tell_skipped(instance: Instance, copied: Transfer) -> None:
    """Tell of files that were not copied: links that lead away, names that cannot be."""
    if not copied.skipped:
        return
    for one in copied.skipped:
        instance.log.say(f"not copied: {one}", "WARNING")
    more = len(copied.skipped) - SHOWN_SKIPPED
    rest = f" and {more} more, see the log" if more > 0 else ""
    instance.door.warn(f"Warning: not copied: {'; '.join(copied.skipped[:SHOWN_SKIPPED])}{rest}")
