"""Which platform these records are of: a random id, made with the tables and never changed."""

from sqlalchemy import CheckConstraint, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from blocks.records.tables import Base


class PlatformRecord(Base):
    """The one row that names the platform."""

    __tablename__ = "platform"
    __table_args__ = (CheckConstraint("number = 1"),)
    number: Mapped[int] = mapped_column(primary_key=True, default=1)
    id: Mapped[str] = mapped_column(String(32))


def platform_id(session: Session) -> str:
    """Return the id of the platform whose records these are, such as `pl-3f9c1b7a20de`; "" where they name none."""
    return session.scalar(select(PlatformRecord.id)) or ""
