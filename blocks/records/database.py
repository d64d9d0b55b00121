"""The connection: sessions that read, sessions that write in one transaction, and the tables' migrations."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from blocks.records.errors import BadValue, Conflict, NotUnderstood, RecordsAway

# A beat comes two seconds after the last: one that waits in vain is answered, and known of, before the shortest lease
# (10 s) has run out.
BUSY_SECONDS = 7


class Records:
    """The records' database, opened when it is first used."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def engine(self) -> Engine:
        """The SQLAlchemy engine."""
        if not self.url.startswith("sqlite"):
            return create_engine(self.url, pool_pre_ping=True, pool_timeout=BUSY_SECONDS)
        engine = create_engine(self.url, pool_timeout=BUSY_SECONDS, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def reading(self) -> Generator[Session]:
        """Open a session for questions; what it returns stays readable after it closed."""
        with _translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Generator[Session]:
        """Open a session whose changes happen together or not at all."""
        engine = self.engine.execution_options(emf_write=True)
        with _translated(), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring the tables to the newest version; nothing happens where they are."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["engine"] = self.engine
        command.upgrade(config, "head")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late (at the first write): transactions are begun below.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    # IMMEDIATE: a transaction that read first and writes later would fail at once when another wrote between.
    write = connection.get_execution_options().get("emf_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict(f"The records refuse this beside what they hold by now: {error.orig}. Ask again.") from error
    except DataError as error:
        raise BadValue(f"The records cannot hold a value that they were given: {error.orig}.") from error
    except InternalError as error:  # read-only while another server takes over, as much as a fault of its own
        raise RecordsAway(f"The records cannot do this now: {error.orig}. Ask again.") from error
    except (ProgrammingError, NotSupportedError) as error:
        raise NotUnderstood(
            f"The database of the records refuses what it was asked: {error.orig}. Asking again will not help; where "
            "its tables are older than this version, `emf up` brings them up to date."
        ) from error
    except DBAPIError as error:  # away, locked, or a file that is damaged: what an operator mends
        raise RecordsAway(f"The records do not answer: {error.orig}. `emf up` makes and starts them.") from error
    except NoConnection as error:
        raise RecordsAway("The records do not answer: all connections to them are taken. Ask again.") from error
