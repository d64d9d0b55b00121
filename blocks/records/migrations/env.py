"""How alembic reaches the tables: always over the engine that `Records.migrate` hands it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from blocks.records.identity import PlatformRecord
from blocks.records.tables import UTCTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our own column type as what it is in the database: a migration must not need today's code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCTime) else False


@contextmanager
def no_cascades(connection: Connection) -> Generator[None]:
    """Keep SQLite from removing what refers to a table that is made anew; it obeys only outside a transaction."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def check_references(connection: Connection) -> None:
    """See that every row has what it refers to, before anything is committed."""
    if connection.dialect.name != "sqlite":
        return
    broken = [(row[0], row[2]) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
    if broken:
        told = ", ".join(f"{broken.count(one)} row(s) of {one[0]} refer to {one[1]}" for one in sorted(set(broken)))
        raise RuntimeError(
            f"The records stay as they are: {told} that are not there. Restore them from a copy, or remove those rows."
        )


engine = context.config.attributes["engine"]
with engine.execution_options(emf_write=True).connect() as connection, no_cascades(connection), connection.begin():
    context.configure(
        connection=connection, target_metadata=PlatformRecord.metadata, render_as_batch=True, render_item=render_item
    )
    with context.begin_transaction():
        context.run_migrations()
    check_references(connection)
