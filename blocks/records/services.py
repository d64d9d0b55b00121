"""What stays up, in the records: one name and one port each, written down before it is started."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from blocks.records.tables import ServiceRecord


def reserve(session: Session, name: str, kind: str, resource_id: str, port: int) -> ServiceRecord:
    """Return the service of this name, with the port it had before; a new one gets the port that is offered.

    Args:
        session: a writing session; a port that another service has makes it end with `Conflict`.
        name: deterministic, made from the id of what it serves.
        kind: what it is, such as `tensorboard`.
        resource_id: whom it serves.
        port: what a new one gets.
    """
    found = session.get(ServiceRecord, name)
    if found is not None:
        return found
    row = ServiceRecord(name=name, kind=kind, resource_id=resource_id, port=port)
    session.add(row)
    return row


def ports(session: Session) -> set[int]:
    """Return every port that is given out."""
    return set(session.scalars(select(ServiceRecord.port)))


def all_of(session: Session, kind: str) -> Sequence[ServiceRecord]:
    """Return the services of a kind."""
    return session.scalars(select(ServiceRecord).where(ServiceRecord.kind == kind)).all()


def lookup(session: Session, name: str) -> ServiceRecord | None:
    """Return a service by its name, or None."""
    return session.get(ServiceRecord, name)


def forget(session: Session, name: str) -> None:
    """Give a service's name and port back, after it has ended."""
    row = session.get(ServiceRecord, name)
    if row is not None:
        session.delete(row)
