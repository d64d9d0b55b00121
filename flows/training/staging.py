"""What an instance needs comes in. Everything here can be stopped between two pieces of a file, and run again."""

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from blocks.catalogue.catalogue import GIB
from blocks.errors import BlockError
from blocks.storage.errors import NoSpace, NotFound
from blocks.storage.location import parse
from blocks.storage.os_errors import os_faults
from blocks.storage.store import Entry, Transfer
from flows.markdown import size
from flows.training.checkpoint import OWN_FOLDER, Damaged, fetch, fetch_committed
from flows.training.fields import DataSet
from flows.training.instance import Instance, StepFailed
from flows.training.patience import STAGING_IN, patiently
from flows.training.verdict import Cause

SHOWN_SKIPPED = 5
LISTED_AT_ONCE = 1000

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
    copied = [data_set for data_set in spec.data_sets if not _is_mounted(instance, data_set)]
    _check_sizes(instance, copied)
    for one in copied:
        what, folder = f"the data set {one.name}", folders.data_sets[one.name]
        patiently(instance, STAGING_IN, lambda w=what, o=one, f=folder: _copy(instance, w, o.path, f, tell))
    if not _resume(instance, tell) and spec.checkpoint_path:
        patiently(instance, STAGING_IN, lambda: _given_checkpoint(instance, tell))


def _copy(instance: Instance, what: str, path: str, folder: Path, tell: Tell) -> None:
    instance.say(f"staging in {what} from {path}")
    with _in_room(what, folder):
        got = instance.storage.download(parse(path), folder, instance.progress(what, tell))
    instance.log.say(f"staged in {what}: {got.files} file(s), {size(got.bytes)}")
    tell_skipped(instance, got)


@contextmanager
def _in_room(what: str, *folders: Path) -> Generator[None]:
    """Copy into folders: half a copy is removed, for it holds room that the next try, or another's, needs."""
    _empty(folders)
    try:
        yield
    except BlockError as error:
        _empty(folders)
        if not isinstance(error, NoSpace):
            raise
        free = shutil.disk_usage(folders[0]).free / GIB
        problem = f"This machine's disk has no room for {what}: {free:.1f} GB are free."
        raise NoSpace(problem, str(error)) from error


def _empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)


def _is_mounted(instance: Instance, data_set: DataSet) -> bool:
    """Mount a data set where that is possible: what lies on a NAS is not copied."""
    mounted = patiently(instance, STAGING_IN, lambda: instance.storage.mounted(parse(data_set.path)))
    if mounted is None:
        return False
    instance.say(f"the data set {data_set.name} is mounted from {data_set.path}")
    folder = instance.folders.data_sets[data_set.name]
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(mounted)
    return True


def _check_sizes(instance: Instance, copied: Sequence[DataSet]) -> None:
    """Make sure that what is copied fits, all of it together: it may have grown since the request was checked."""
    sizes = {one.name: patiently(instance, STAGING_IN, lambda o=one: _size(instance, o)) for one in copied}
    limit = instance.assignment.spec.data_storage_gb
    if sum(sizes.values()) > limit * GIB:
        each = ", ".join(f"{name} {size / GIB:.1f} GB" for name, size in sizes.items())
        raise StepFailed(Cause.DATA, f"The data sets need more than the data storage of {limit} GB: {each}.")


def _size(instance: Instance, data_set: DataSet) -> int:
    return sum(entry.size for entry in _listed(instance, f"the data set {data_set.name}", data_set.path))


def _listed(instance: Instance, what: str, path: str) -> Iterator[Entry]:
    """Yield what lies at a path; a listing of millions tells how far it is, and can be stopped."""
    for count, entry in enumerate(instance.storage.entries(parse(path))):
        if count % LISTED_AT_ONCE == 0:
            instance.go_on()
            instance.door.progress = f"listing {what}: {count} files so far"
        yield entry


def _resume(instance: Instance, tell: Tell) -> bool:
    """Hand over the newest checkpoint of earlier attempts that is whole; returns whether there is one."""
    of = instance.assignment
    for path in of.resume_from:
        instance.say(f"going on from the checkpoint {path}")
        fault = patiently(instance, STAGING_IN, lambda p=path: _hand_over(instance, p, tell))
        if not fault:
            return True
        instance.log.say(f"passed over: {fault}", "WARNING")
        instance.door.warn(f"Warning: attempt {of.number} does not go on from {path}: {fault}")
    if of.resume_from:
        instance.door.warn(f"Warning: no checkpoint of this training is whole; attempt {of.number} starts without.")
    return False


def _hand_over(instance: Instance, path: str, tell: Tell) -> str:
    """Bring a checkpoint of ours to where the script reads and writes; returns the fault of one that is not whole.

    What a script overwrites in place must be there as it left it.
    """
    given, written = instance.folders.checkpoint_input, instance.folders.checkpoint
    try:
        with _in_room("the checkpoint", given, written), os_faults(written, "copy to"):
            fetch_committed(instance.storage, path, given, instance.progress("the checkpoint", tell))
            shutil.copytree(given, written, dirs_exist_ok=True, copy_function=_copy_file)
    except (Damaged, NotFound) as error:
        return str(error)
    return ""


def _copy_file(source: str, target: str) -> None:
    with os_faults(target, "copy to"):  # which copytree would gather into an error that has lost its kind
        shutil.copy2(source, target)


def _given_checkpoint(instance: Instance, tell: Tell) -> None:
    """Hand over what a person put at the checkpoint path; trainings' own folders there are theirs."""
    path, folder = instance.assignment.spec.checkpoint_path, instance.folders.checkpoint_input
    if all(OWN_FOLDER.match(entry.key) for entry in _listed(instance, "the checkpoint", path)):
        return
    with _in_room("the checkpoint", folder):
        verified = fetch(instance.storage, path, folder, instance.progress("the checkpoint", tell))
    how = "verified" if verified else "as it is: it carries no manifest of ours"
    instance.say(f"checkpoint input from {path} ({how})")


def tell_skipped(instance: Instance, copied: Transfer) -> None:
    """Tell of files that were not copied: links that lead away, names that cannot be."""
    if not copied.skipped:
        return
    for one in copied.skipped:
        instance.log.say(f"not copied: {one}", "WARNING")
    more = len(copied.skipped) - SHOWN_SKIPPED
    rest = f" and {more} more, see the log" if more > 0 else ""
    instance.door.warn(f"Warning: not copied: {'; '.join(copied.skipped[:SHOWN_SKIPPED])}{rest}")
