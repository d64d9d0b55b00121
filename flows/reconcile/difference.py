"""What is put right, and that this is written down: a repair, and an event of the training that it concerns."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

from blocks.platform import Platform
from blocks.records import repairs
from blocks.records.tables import Training
from blocks.records.transitions import note
from flows.reconcile.findings import Finding

log = structlog.get_logger("reconcile")


@dataclass(frozen=True)
class Difference:
    """A finding, and how it is put right: that answers whether it still differed, and does no more."""

    finding: Finding
    put_right: Callable[[], bool]


def put_right(platform: Platform, differences: Iterable[Difference], *, dry_run: bool) -> Iterator[Finding]:
    """Put right what differs, unless it is a dry run, and return what was found; one that fails is found again."""
    for difference in differences:
        yield difference.finding
        if not dry_run:
            with guarded(difference.finding):
                if difference.put_right():
                    with platform.records.writing() as session:
                        write_down(session, difference.finding)


def write_down(session: Session, finding: Finding, *, is_told: bool = False) -> None:
    """Write a repair down, and an event of the training that it concerns unless its own transition has told it."""
    repairs.write(session, finding.subject, finding.repair, finding.told, finding.training_id)
    row = None if is_told else session.get(Training, finding.training_id)
    if row is not None:
        note(session, row, f"Put right ({finding.repair}): {finding.told}")


@contextmanager
def guarded(finding: Finding) -> Generator[None]:
    """Keep a repair that fails from holding up the others."""
    try:
        yield
    except Exception:
        log.exception("not repaired", subject=finding.subject, repair=finding.repair, what=finding.what)
