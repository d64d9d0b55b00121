"""What is put right, and that this is written down: a repair, and an event of the training that it concerns."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from blocks.errors import BlockError
from blocks.platform import Platform
from blocks.records import repairs
from blocks.records.tables import Event, Training
from blocks.records.transitions import note
from flows.reconcile.findings import Finding

log = structlog.get_logger("reconcile")


@dataclass(frozen=True)
class Difference:
    """A finding, and how it is put right: that answers whether it still differed, and does no more."""

    finding: Finding
    put_right: Callable[[], bool]


@dataclass(frozen=True)
class Failure:
    """A finding that could not be put right, and why."""

    finding: Finding
    why: str


def put_right(
    platform: Platform, differences: Iterable[Difference], failed: list[Failure], *, dry_run: bool
) -> Iterator[Finding]:
    """Put right what differs, unless it is a dry run, and return what was found; what `failed` is found again."""
    for difference in differences:
        yield difference.finding
        if not dry_run:
            with guarded(platform, difference.finding, failed):
                if difference.put_right():
                    with platform.records.writing() as session:
                        write_down(session, difference.finding)


def write_down(session: Session, finding: Finding, *, is_told: bool = False) -> None:
    """Write a repair down, and an event of the training that it concerns unless its own transition has told it."""
    log.warning("reconciled", subject=finding.subject, repair=finding.repair.value, what=finding.told)
    repairs.write(session, finding.subject, finding.repair, finding.told, finding.training_id)
    row = None if is_told else session.get(Training, finding.training_id)
    if row is not None:
        note(session, row, f"Put right ({finding.repair}): {finding.told}")


@contextmanager
def guarded(platform: Platform, finding: Finding, failed: list[Failure]) -> Generator[None]:
    """Keep a repair that fails from holding up the others, and have it told."""
    try:
        yield
    except Exception as error:
        log.exception("not repaired", subject=finding.subject, repair=finding.repair, what=finding.what)
        # Others may carry values that are nobody's to read.
        why = str(error) if isinstance(error, BlockError | OSError) else f"{type(error).__name__}; the log says more"
        failed.append(Failure(finding, why))
        _tell(platform, finding, why)


def _tell(platform: Platform, finding: Finding, why: str) -> None:
    """Write an event of the training: once, for the next look finds and tries the same again."""
    message = f"Could not be put right ({finding.repair}): {why}"
    told = select(Event.id).where(Event.kind == "training", Event.resource_id == finding.training_id)
    try:
        with platform.records.writing() as session:
            row = session.get(Training, finding.training_id)
            if row is not None and session.scalar(told.where(Event.message == message).limit(1)) is None:
                note(session, row, message)
    except BlockError as error:
        log.warning("not told", subject=finding.subject, error=str(error))
