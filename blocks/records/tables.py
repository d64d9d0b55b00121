"""The tables. Times are UTC; ids are ours and name every object of every engine."""

from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from blocks.records.words import ExperimentState, Phase, TrainingState, Wish


def now() -> datetime:
    """Return this moment, in UTC."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """Return a fresh id, such as `tr-3f9c1b7a20de`."""
    return f"{prefix}-{token_hex(6)}"


class UTCTime(TypeDecorator[datetime]):
    """A time with its zone: SQLite forgets zones, so UTC is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Give UTC back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables of the records."""

    type_annotation_map = {datetime: UTCTime, dict[str, Any]: JSON, dict[str, str]: JSON, list[str]: JSON}  # noqa: RUF012


# What MLflow must still be told of a change: None nothing, else its description and tags, and these to be removed.
Owed = JSON(none_as_null=True)


class Experiment(Base):
    """A group of trainings; an MLflow experiment stands behind it."""

    __tablename__ = "experiments"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=lambda: new_id("ex"))
    name: Mapped[str] = mapped_column(String(50), unique=True)
    description: Mapped[str] = mapped_column(String(255), default="")
    tags: Mapped[dict[str, str]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(32), default=ExperimentState.CREATE_REQUESTED)
    reason: Mapped[str] = mapped_column(String(32), default="")
    message: Mapped[str] = mapped_column(default="")
    mlflow_id: Mapped[str] = mapped_column(String(64), default="")
    mlflow_owed: Mapped[list[str] | None] = mapped_column(Owed)
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
    trainings: Mapped[list["Training"]] = relationship(back_populates="experiment", passive_deletes="all")


class Training(Base):
    """One training: the request as it was accepted, and what became of it."""

    __tablename__ = "trainings"
    __table_args__ = (Index("trainings_by_state", "state", "created_at"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=lambda: new_id("tr"))
    name: Mapped[str] = mapped_column(String(50), index=True)
    description: Mapped[str] = mapped_column(String(255), default="")
    tags: Mapped[dict[str, str]] = mapped_column(default=dict)
    # RESTRICT: an experiment cannot go while it has trainings, whoever asks.
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiments.id", ondelete="RESTRICT"))
    request: Mapped[dict[str, Any]]
    request_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    request_digest: Mapped[str] = mapped_column(String(64))
    image: Mapped[str] = mapped_column(String(100))
    instance_type: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(32), default=TrainingState.CREATE_REQUESTED)
    reason: Mapped[str] = mapped_column(String(32), default="")
    message: Mapped[str] = mapped_column(default="")
    evidence: Mapped[dict[str, Any]] = mapped_column(default=dict)
    wish: Mapped[str] = mapped_column(String(16), default=Wish.NONE)
    retry_at: Mapped[datetime | None]
    mlflow_run_id: Mapped[str] = mapped_column(String(64), default="")
    mlflow_status: Mapped[str] = mapped_column(String(16), default="")
    mlflow_owed: Mapped[list[str] | None] = mapped_column(Owed)
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    experiment: Mapped[Experiment] = relationship(back_populates="trainings", lazy="joined")
    attempts: Mapped[list["Attempt"]] = relationship(
        back_populates="training", order_by="Attempt.number", cascade="all, delete-orphan", lazy="selectin"
    )


class Attempt(Base):
    """One try at a training on one lease. What it holds is given back when it ends."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("training_id", "number"), Index("attempts_open", "ended_at"))
    id: Mapped[str] = mapped_column(String(48), primary_key=True)
    training_id: Mapped[str] = mapped_column(ForeignKey("trainings.id", ondelete="CASCADE"))
    number: Mapped[int]
    phase: Mapped[str] = mapped_column(String(16), default=Phase.GRANTED)
    machine: Mapped[str] = mapped_column(String(64), default="")
    memory_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    gpus: Mapped[list[str]] = mapped_column(default=list)
    token_hash: Mapped[str] = mapped_column(String(64), default="")
    flow_run_id: Mapped[str] = mapped_column(String(48), default="")
    granted_at: Mapped[datetime] = mapped_column(default=now)
    submitted_at: Mapped[datetime | None]
    beat_at: Mapped[datetime | None]
    running_at: Mapped[datetime | None]
    stopped_running_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(32), default="")  # the state to which its end led the training
    reason: Mapped[str] = mapped_column(String(32), default="")
    message: Mapped[str] = mapped_column(default="")
    evidence: Mapped[dict[str, Any]] = mapped_column(default=dict)
    progress: Mapped[str] = mapped_column(default="")
    commits: Mapped[int] = mapped_column(default=0)  # how many checkpoints it has committed, of which few are kept
    ran_seconds: Mapped[float | None]  # for how long its script has run, by the instance's own steady clock
    resumed_from: Mapped[str] = mapped_column(String(512), default="")  # the checkpoint that it goes on from
    seconds_lost: Mapped[float | None]  # of training since that checkpoint, in earlier attempts
    run_is_over: Mapped[bool] = mapped_column(default=False)  # Prefect has been seen to take its run for ended
    training: Mapped[Training] = relationship(back_populates="attempts", lazy="joined")
    checkpoints: Mapped[list["Checkpoint"]] = relationship(
        order_by="Checkpoint.number", cascade="all, delete-orphan", lazy="selectin"
    )


class Checkpoint(Base):
    """A committed checkpoint: its marker lies at `path`. Of each attempt only the newest few are kept."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("attempt_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"))
    number: Mapped[int]
    path: Mapped[str] = mapped_column(String(512))
    files: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    taken_at: Mapped[datetime] = mapped_column(default=now)  # when the files were as they are in it
    committed_at: Mapped[datetime] = mapped_column(default=now)


class Event(Base):
    """What happened to a record, in order: every change of state, and what an attempt reported."""

    __tablename__ = "events"
    __table_args__ = (Index("events_of", "kind", "resource_id", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    resource_id: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(50))
    time: Mapped[datetime] = mapped_column(default=now)
    state: Mapped[str] = mapped_column(String(32), default="")
    reason: Mapped[str] = mapped_column(String(32), default="")
    message: Mapped[str] = mapped_column(default="")


class RepairRecord(Base):
    """Something that differed from the records and was brought to what they say; kept when its training is deleted."""

    __tablename__ = "repairs"
    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(default=now)
    subject: Mapped[str] = mapped_column(String(255))  # an attempt, a run, a folder
    training_id: Mapped[str] = mapped_column(String(32), default="", index=True)
    repair: Mapped[str] = mapped_column(String(32))
    what: Mapped[str] = mapped_column(default="")


class ServiceRecord(Base):
    """Something that stays up and whom it serves, written down before it is started."""

    __tablename__ = "services"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    resource_id: Mapped[str] = mapped_column(String(32), index=True)
    port: Mapped[int] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
