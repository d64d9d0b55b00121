"""What stays up, in the records: one name and one port each, written down before it is started."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from blocks.records.errors import RecordError
from blocks.records.tables import ServiceRecord


class NoPortLeft(RecordError):
    """Every port of the range is given out."""


def reserve(session: Session, name: str, kind: str, resource_id: str, ports: range) -> ServiceRecord:
    """Return the service of this name, with the port it had before; a new one gets the first that is free.

    Args:
        session: a writing session.
        name: deterministic, made from the id of what it serves.
        kind: what it is, such as `tensorboard`.
        resource_id: whom it serves.
        ports: what may be given out.

    Raises:
        NoPortLeft: all of them are given out.
    """
    found = session.get(ServiceRecord, name)
    if found is not None:
        return found
    taken = set(session.scalars(select(ServiceRecord.port)))
    port = next((port for port in ports if port not in taken), None)
    if port is None:
        raise NoPortLeft(f"All ports from {ports.start} to {ports.stop - 1} are given out to services.")
    row = ServiceRecord(name=name, kind=kind, resource_id=resource_id, port=port)
    session.add(row)
    return row


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
