"""What a script made goes to its place. It took hours to make: it is waited for hours, and is never thrown away."""

import shlex
from collections.abc import Callable
from pathlib import Path

from blocks.records.words import Wish
from blocks.storage.location import DERIVED_LIMIT, Location, parse
from blocks.storage.os_errors import os_faults
from blocks.storage.store import Transfer
from flows.training.instances import model
from flows.training.instances.instance import Instance, Interrupted, StepFailed
from flows.training.instances.kept import keep, kept_folder
from flows.training.instances.patience import STAGING_OUT, patiently
from flows.training.instances.staging import tell_skipped


def stage_out(instance: Instance, home: Path, tell: Callable[[str, float], None]) -> int:
    """Put the model in its place and its marker beside it; returns how many files the model has.

    From here the model lies in `EMF_HOME/kept`, whatever happens to the attempt, until its training is COMPLETE. One
    that cannot be moved there is sent from the attempt's folder.

    Args:
        instance: the one whose model counts.
        home: EMF_HOME.
        tell: called with what is copied and how much of it is there, from 0 to 1.

    Raises:
        StepFailed: the place refused it, or was away for hours (OUTPUT); the message says where the model is.
        Interrupted: a person stopped it, the platform goes down, or it was given up; the model has no marker then and
            does not count. What is kept a next attempt only puts in its place.
    """
    folder = _keep(instance, home)
    place = parse(f"{instance.assignment.output}/model/", DERIVED_LIMIT)
    if not _is_empty(folder):
        instance.say(f"staging out the model to {place}; until it is there it is in {folder}")
    try:
        sent = patiently(instance, STAGING_OUT, lambda: _send(instance, folder, place, tell))
        if sent.files:
            instance.door.confirm()  # whoever slept past its lease must not mark what is another attempt's by now
            patiently(instance, STAGING_OUT, lambda: _mark(instance, folder))
            instance.say(f"the model is in its place: {sent.files} file(s) at {place}")
    except StepFailed as error:
        raise StepFailed(error.cause, f"{error} {_where(instance, folder, place)}") from error
    except Interrupted:
        if instance.door.wish == Wish.SUSPEND:
            raise  # a next attempt puts it in its place: nobody has to do anything
        instance.door.warn(f"Warning: the model was not put in its place. {_where(instance, folder, place)}")
        raise
    return sent.files


def _keep(instance: Instance, home: Path) -> Path:
    """Keep the model and return where it is: what cannot be moved is sent from where the script left it."""
    try:
        return keep(instance, home)
    except OSError as error:
        folder = instance.folders.model
        if not folder.is_dir():  # an earlier attempt kept it, or there is none
            return kept_folder(home, instance.assignment.training_id)
        instance.door.warn(f"Warning: the model could not be moved out of its attempt's folder {folder}: {error}")
        return folder


def _send(instance: Instance, folder: Path, place: Location, tell: Callable[[str, float], None]) -> Transfer:
    instance.door.make_sure()  # by now a later attempt's model may lie there, and be marked
    # The marker goes before what it vouches for; what an earlier attempt left half-sent is not this model.
    model.unmark(instance)
    instance.storage.delete(place)
    if _is_empty(folder):
        instance.say("the script left nothing in EM_MODEL_DIR; there is no model")
        instance.door.warn("Warning: the script left nothing in EM_MODEL_DIR; there is no model.")
        return Transfer(0, 0)
    sent = instance.storage.upload(folder, place, instance.progress("the model", tell))
    tell_skipped(instance, sent)
    return sent


def _mark(instance: Instance, folder: Path) -> None:
    with os_faults(folder, "read"):
        model.mark(instance, folder)


def _is_empty(folder: Path) -> bool:
    return not folder.is_dir() or not any(folder.iterdir())


def _where(instance: Instance, folder: Path, place: Location) -> str:
    if _is_empty(folder):
        return "The script left nothing in EM_MODEL_DIR; there is no model."
    if folder == instance.folders.model:
        return f"The model could not be moved out of {folder}, which is removed soon after the attempt's end."
    command = shlex.join(["emf", "storage", "put", str(folder), str(place)])
    return (
        f"The model is kept in {folder} until the training is deleted; `{command}` sends it once its place is mended."
    )
