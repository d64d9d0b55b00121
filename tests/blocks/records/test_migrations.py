"""The migrations, over databases that hold something."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import event, select, text

from blocks.records import database
from blocks.records.database import Records
from blocks.records.tables import Attempt, Checkpoint, Training

MIGRATIONS = Path(database.__file__).parent / "migrations"
AT = "2026-11-03 12:00:00.000000"


def insert(records: Records, table: str, **given: Any) -> None:
    """Insert a row as the version of the database has it: columns that are not given hold an empty value."""
    with records.writing() as session:
        columns = session.execute(text(f"PRAGMA table_info({table})")).all()
        missing = [c for c in columns if c.notnull and c.name != "id"]
        empty = {c.name: 0 if "INT" in c.type else AT if "DATE" in c.type else "{}" for c in missing}
        row = empty | given
        session.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES (:{', :'.join(row)})"), row)


@pytest.fixture
def first(tmp_path: Path) -> Records:
    """A database of the first version: two trainings, of which one has an attempt with two checkpoints kept of five."""
    records = Records(f"sqlite:///{tmp_path / 'records.db'}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = records.engine
    command.upgrade(config, "0001")
    insert(records, "experiments", id="ex-1", name="group", state="ACTIVE")
    for name in ("tr-1", "tr-2"):
        insert(records, "trainings", id=name, name=name, experiment_id="ex-1", state="RUNNING")
    for number in (1, 2):
        insert(records, "attempts", id=f"tr-1-a{number}", training_id="tr-1", number=number)
    for number in (4, 5):
        when = f"2026-11-03 12:0{number}:00.000000"
        insert(records, "checkpoints", attempt_id="tr-1-a1", number=number, path=f"p{number}", committed_at=when)
    return records


def test_an_upgrade_keeps_every_row(first: Records):
    """Trainings, attempts and checkpoints are all there, and what is new of them follows from what was known."""
    first.migrate()
    with first.reading() as session:
        assert set(session.scalars(select(Training.id))) == {"tr-1", "tr-2"}
        attempts = session.execute(select(Attempt.id, Attempt.commits, Attempt.run_is_over)).all()
        assert {tuple(one) for one in attempts} == {("tr-1-a1", 5, False), ("tr-1-a2", 0, False)}
        kept = session.scalars(select(Checkpoint).order_by(Checkpoint.number)).all()
        assert [(one.path, one.taken_at) for one in kept] == [(one.path, one.committed_at) for one in kept]
        assert [(one.path, one.committed_at.minute) for one in kept] == [("p4", 4), ("p5", 5)]
        assert session.scalar(select(Attempt).where(Attempt.run_is_over.is_(False)).limit(1)) is not None


def test_an_upgrade_makes_no_table_anew_that_others_refer_to(first: Records):
    """SQLite removes what refers to the rows of a table that is dropped: only tables that stand alone may be."""
    dropped: list[str] = []
    event.listen(first.engine, "before_cursor_execute", lambda _c, _k, said, *_: dropped.append(said))
    first.migrate()
    assert {said.split()[-1] for said in dropped if "DROP TABLE" in said} <= {"checkpoints"}


def test_foreign_keys_are_watched_again_after_an_upgrade(first: Records):
    """Also on the very connection that migrated."""
    first.migrate()
    with first.reading() as session:
        assert session.scalar(text("PRAGMA foreign_keys")) == 1


def test_an_upgrade_that_would_leave_a_row_without_its_own_changes_nothing(first: Records):
    """It says which table refers to what is not there, and the database stays at its version."""
    with first.engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA foreign_keys=OFF")
        raw.execute("DELETE FROM attempts WHERE id = 'tr-1-a1'")
        raw.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(RuntimeError, match=r"2 row\(s\) of checkpoints refer to attempts"):
        first.migrate()
    with first.reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
