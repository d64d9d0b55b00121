"""Trainings that wait for a machine although they were asked to stop: the wish came while their attempt ended."""

from collections.abc import Iterator
from functools import partial

from blocks.platform import Platform
from blocks.records import stops
from flows.reconcile.difference import Difference
from flows.reconcile.findings import Finding, Repair


def unheeded(platform: Platform) -> Iterator[Difference]:
    """Return the trainings that nobody would ever stop."""
    with platform.records.reading() as session:
        waiting = stops.unheeded(session)
    for training_id in waiting:
        what = "it was asked to stop, and waits for its next attempt all the same"
        yield Difference(Finding(training_id, Repair.STOP, what, training_id), partial(_stop, platform, training_id))


def _stop(platform: Platform, training_id: str) -> bool:
    with platform.records.writing() as session:
        return stops.heed(session, training_id)
