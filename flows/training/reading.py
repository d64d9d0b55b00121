"""Reading trainings: for lists, pages and the terminal. Free of Prefect, so that they answer at once."""

from collections.abc import Mapping
from typing import Any

from blocks.platform import Platform
from blocks.records import trainings
from flows.tensorboard import service as tensorboard
from flows.training import view


def read(platform: Platform, training: str) -> dict[str, Any]:
    """Return all of one training, by its name or id.

    Raises:
        NotFound, Ambiguous: there is none, or there are several.
    """
    with platform.records.reading() as session:
        row = trainings.find(session, training)
        events = trainings.events_of(session, "training", row.id)
    found = view.detail(row, events, platform.settings)
    if page := tensorboard.page(platform, row.id):
        found["pages"]["tensorboard"] = page
    return found


def look(
    platform: Platform, experiment: str, states: list[str], tags: Mapping[str, str], limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the trainings that match, newest first, and how many match."""
    with platform.records.reading() as session:
        rows, total = trainings.page(
            session, experiment=experiment, states=states, tags=tags, limit=limit, offset=offset
        )
    open_ones = tensorboard.pages(platform) if rows else {}
    lines = [view.summary(row) | {"pages": view.pages(row, platform.settings)} for row in rows]
    for line in lines:
        if line["id"] in open_ones:
            line["pages"]["tensorboard"] = open_ones[line["id"]]
    return lines, total
