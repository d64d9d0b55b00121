"""Reading trainings: for lists, pages and the terminal. Free of Prefect, so that they answer at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from blocks.logs.line import LogLine
from blocks.platform import Platform
from blocks.records import experiments, trainings
from blocks.records.tables import Training
from blocks.records.words import TERMINAL, TrainingState
from flows.faults import Fault, Refused, choices
from flows.names import composed, lookup_faults, lookup_name
from flows.paging import page_faults
from flows.tensorboard import service as tensorboard
from flows.training import view

ENDED = TERMINAL | {TrainingState.DELETE_IN_PROGRESS, TrainingState.DELETE_FAILED}
"""A training in one of these will not run any more: nobody need wait for it."""
NEAREST = 500  # experiments among which the one that was meant is looked for


def find(session: Session, training: str) -> Training:
    """Return the training that a person means by a name or an id.

    Raises:
        Refused: nothing can have that name.
        NotFound, Ambiguous: there is none, or there are several.
    """
    return trainings.find(session, lookup_name("training", training))


def instances(row: Training) -> int:
    """Return how many instances train together."""
    return int(row.request["instance_count"])


def line_of(line: LogLine, *, of_several: bool) -> str:
    """Return a line of the log for a person; of several instances it says which one wrote it."""
    return f"[{line.instance}] {line.body}" if of_several else line.body


def read(platform: Platform, training: str) -> dict[str, Any]:
    """Return all of one training, by its name or id.

    Raises:
        Refused, NotFound, Ambiguous: as `find`.
    """
    with platform.records.reading() as session:
        row = find(session, training)
        events = trainings.events_of(session, "training", row.id)
    found = view.detail(row, events, platform.settings)
    if page := tensorboard.page(platform, row.id):
        found["pages"]["tensorboard"] = page
    return found


def look(
    platform: Platform, experiment: str, states: list[str], tags: Mapping[str, str], limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the trainings that match, newest first, and how many match.

    Raises:
        Refused: there is no such experiment or state, with those that there are; or no such page.
    """
    tags = {composed(key): composed(value) for key, value in tags.items()}
    with platform.records.reading() as session:
        if faults := _filter_faults(session, experiment, states, tags) + page_faults(limit, offset):
            raise Refused(faults)
        rows, total = trainings.page(
            session, experiment=composed(experiment), states=states, tags=tags, limit=limit, offset=offset
        )
    open_ones = tensorboard.pages(platform) if rows else {}
    lines = [view.summary(row) | {"pages": view.pages(row, platform.settings)} for row in rows]
    for line in lines:
        if line["id"] in open_ones:
            line["pages"]["tensorboard"] = open_ones[line["id"]]
    return lines, total


def _filter_faults(session: Session, experiment: str, states: Sequence[str], tags: Mapping[str, str]) -> list[Fault]:
    faults = [
        Fault("states", state, "there is no such state", choices(state, list(TrainingState)))
        for state in states
        if state not in list(TrainingState)
    ]
    for key, value in tags.items():
        faults += lookup_faults("tags", key) + lookup_faults("tags", value, least=0)
    unusable = lookup_faults("experiment", experiment, least=0)
    faults += unusable
    if experiment and not unusable and experiments.lookup(session, composed(experiment)) is None:
        names = [row.name for row, _ in experiments.page(session, limit=NEAREST, offset=0)[0]]
        faults.append(Fault("experiment", experiment, "there is no such experiment", choices(experiment, names)))
    return faults
