"""What a training waits for before its turn comes: what its earlier attempts still do on this machine, or left."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from blocks.catalogue.catalogue import Catalogue
from blocks.records import survey
from blocks.records.survey import Glance
from blocks.records.trainings import Waiting
from flows.reconcile.tidy import is_being_tidied, untidied
from flows.training.queue import Want

# For how long a next attempt waits until what the last one left is kept, where nobody gets on with that.
KEEPING_SECONDS = 600.0


@dataclass
class Earlier:
    """What a training's earlier attempts still have on this machine, each by its number.

    Attributes:
        alive: those of which processes live.
        at_work: those at whose folders somebody is at work now.
        left: those that have ended and whose folders are still to be tidied.
    """

    alive: list[int] = field(default_factory=list[int])
    at_work: list[int] = field(default_factory=list[int])
    left: list[int] = field(default_factory=list[int])


def earlier_attempts(session: Session, home: Path, alive: Collection[str]) -> dict[str, Earlier]:
    """Return what earlier attempts still have here, by their trainings; of most trainings nothing.

    Args:
        session: any.
        home: the platform's folder.
        alive: the attempts that have processes here.
    """
    found: dict[str, Earlier] = {}

    def of(one: Glance) -> Earlier:
        return found.setdefault(one.training_id, Earlier())

    for one in survey.among(session, alive):
        of(one).alive.append(one.number)
    for one in untidied(session, home):
        of(one).left.append(one.number)
        if is_being_tidied(home, one.attempt_id):
            of(one).at_work.append(one.number)
    return found


def waits_for(earlier: Earlier, left_for: float) -> str:
    """Return what a next attempt waits for while earlier ones are not done with, or "".

    For their processes: both would write in one place. For what they left as long as it takes while somebody is at work
    on it: a next attempt would go on from an older checkpoint, and the two would commit beside each other. Where nobody
    gets on with it, only for some time.

    Args:
        earlier: what they still have here.
        left_for: for how many seconds this controller has seen that the last of them left something.
    """
    if earlier.alive:
        numbers = ", ".join(map(str, sorted(earlier.alive)))
        return f"waits until the last processes of attempt {numbers} have ended on this machine"
    if earlier.at_work:
        return f"waits while what attempt {min(earlier.at_work)} left on this machine is being kept"
    if earlier.left and left_for < KEEPING_SECONDS:
        kept = f"what attempt {max(earlier.left)} left on this machine is kept"
        return f"waits, for up to {KEEPING_SECONDS / 60:.0f} min, until {kept}"
    return ""


def wants_of(
    waiting: Sequence[Waiting], held_up: Mapping[str, str], catalogue: Catalogue
) -> tuple[list[Want], dict[str, str]]:
    """Return what those need that only wait for their turn, and what the others wait for.

    Args:
        waiting: who wants a machine.
        held_up: what some of them wait for first.
        catalogue: what their images and instance types are.
    """
    images = {image.name for image in catalogue.images}
    sizes = {size.name: size for size in catalogue.instance_types}
    wants: list[Want] = []
    told: dict[str, str] = {}
    for row in waiting:
        size = sizes.get(row.instance_type)
        if size is None or row.image not in images:
            missing = row.instance_type if size is None else row.image
            told[row.id] = f"waits for {missing}, which is no longer in the catalogue"
        elif held := held_up.get(row.id):
            told[row.id] = held
        else:
            memory, gpus = size.memory_bytes * row.instance_count, size.gpus * row.instance_count
            wants.append(Want(row.id, row.name, memory, gpus, row.retry_at, size.gpu_kind))
    return wants, told
