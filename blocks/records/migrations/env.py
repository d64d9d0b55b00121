"""How alembic reaches the tables: always over the engine that `Records.migrate` hands it."""

from typing import Any, Literal

from alembic import context

from blocks.records.tables import Base, UTCTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our own column type as what it is in the database: a migration must not need today's code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCTime) else False


engine = context.config.attributes["engine"]
with engine.execution_options(emf_write=True).connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=render_item
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
