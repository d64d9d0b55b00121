"""The records' database: transactions of several processes, migrations, and whose errors come out."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import BigInteger, exc, func, select, text

from blocks.errors import BlockError, Permanent, Temporary
from blocks.records import changes, database, experiments, trainings
from blocks.records.database import Records
from blocks.records.errors import Conflict, RecordsAway
from blocks.records.tables import Base, Event, Experiment, Training, now
from blocks.records.words import TrainingState

ROOT = Path(__file__).parents[3]
WRITER = """
import sys
from blocks.records import experiments
from blocks.records.database import Records
from blocks.records.tables import now
records = Records(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    with records.writing() as session:
        row = experiments.find(session, "group")
        row.description = str(int(row.description or 0) + 1)
"""


def start(source: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(source), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_two_processes_write_at_once_is_all_there(records: Records, make: Callable[..., str]):
    """Two processes that each read, add one and write, 40 times, make 80: no write is lost, none fails."""
    make()
    writers = [start(WRITER, records.url, "40") for _ in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with records.reading() as session:
        assert experiments.find(session, "group").description == "80"


def test_reading_sees_what_is_committed_and_only_that(records: Records, make: Callable[..., str]):
    """A reader beside an open writer sees the state before it, at once; after the commit a new reader sees the new."""
    training_id = make()
    with records.writing() as session:
        trainings.find(session, training_id).description = "new"
        session.flush()
        with records.reading() as other:
            assert trainings.find(other, training_id).description == ""
    with records.reading() as other:
        assert trainings.find(other, training_id).description == "new"


def test_a_reader_sees_one_moment(records: Records, make: Callable[..., str]):
    """What another commits while a session reads does not show up in the middle of it."""
    make()
    with records.reading() as session:
        before = session.scalar(select(func.count()).select_from(Training))
        make()
        assert session.scalar(select(func.count()).select_from(Training)) == before


def test_a_writing_that_fails_wrote_nothing(records: Records, make: Callable[..., str]):
    """An error inside a writing session takes back all that it wrote, and comes out unchanged."""
    training_id = make()
    with pytest.raises(ZeroDivisionError), records.writing() as session:
        changes.change(session, trainings.find(session, training_id), description="half")
        session.flush()
        _ = 1 / 0
    with records.reading() as session:
        assert trainings.find(session, training_id).description == ""
        assert "changed" not in trainings.events_of(session, "training", training_id)[-1].message


def test_the_migrations_make_todays_tables(records: Records):
    """From an empty file the migrations lead to what the tables' definitions say: alembic would change nothing."""
    with records.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_bytes_have_room():
    """Every column of bytes has 64 bits: 2 GiB are one more than 32 bits hold."""
    columns = [column for table in Base.metadata.tables.values() for column in table.c if "bytes" in column.name]
    assert len(columns) >= 2
    assert all(isinstance(column.type, BigInteger) for column in columns)


def test_migrating_again_changes_nothing(records: Records, make: Callable[..., str]):
    """What is at the newest version stays as it is, with what it holds."""
    training_id = make()
    records.migrate()
    with records.reading() as session:
        assert trainings.find(session, training_id).id == training_id


def test_two_processes_may_migrate_at_once(tmp_path: Path):
    """The first makes the tables, the other waits and finds them there."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    source = "import sys\nfrom blocks.records.database import Records\nRecords(sys.argv[1]).migrate()"
    both = [start(source, url) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    with Records(url).reading() as session:
        assert session.scalar(select(func.count()).select_from(Event)) == 0


def test_times_come_back_in_utc(records: Records, make: Callable[..., str]):
    """SQLite forgets zones; what was stored is the same moment when it is read, with its zone."""
    moment = now()
    training_id = make()
    with records.writing() as session:
        trainings.find(session, training_id).retry_at = moment
    with records.reading() as session:
        assert trainings.find(session, training_id).retry_at == moment


def test_a_database_that_stays_locked_is_away(records: Records, monkeypatch: pytest.MonkeyPatch):
    """Who cannot write in time is told that the records are away: a Temporary, none of SQLAlchemy's own."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    with records.writing() as session, pytest.raises(RecordsAway, match="locked"):
        session.execute(text("SELECT 1"))
        with Records(records.url).writing() as other:
            other.execute(text("SELECT 1"))


@pytest.mark.parametrize("damage", ["no folder", "no tables", "no database"])
def test_a_database_that_is_not_one_is_away(damage: str, tmp_path: Path):
    """A folder that is not there, a file without tables, and a file of something else say so, with what to do."""
    file = tmp_path / ("none" if damage == "no folder" else ".") / "records.db"
    if damage == "no database":
        file.write_bytes(b"this is a text and no database " * 100)
    with pytest.raises(RecordsAway, match="emf up"), Records(f"sqlite:///{file}").reading() as session:
        trainings.find(session, "any")


@pytest.mark.parametrize(
    ("kind", "helps"),
    [
        (exc.OperationalError, Temporary),
        (exc.InterfaceError, Temporary),
        (exc.InternalError, Temporary),
        (exc.DataError, Permanent),
        (exc.ProgrammingError, Permanent),
    ],
)
def test_asking_again_helps_only_where_nobody_answered(records: Records, kind: type, helps: type):
    """A value that the database cannot hold is refused for good; a database that is away is asked again."""
    with pytest.raises(helps, match="out of range"), records.reading():
        raise kind("INSERT", {}, Exception("integer out of range"))


def test_connections_that_are_all_taken_are_waited_for(records: Records):
    """Then the records are away for a while, like a lock that others hold."""
    with pytest.raises(RecordsAway, match="taken"), records.reading():
        raise exc.TimeoutError


def test_two_of_one_name_conflict(records: Records, make: Callable[..., str]):
    """The database itself refuses a second experiment of one name; what comes out is a Temporary of ours."""
    make()
    with pytest.raises(Conflict) as caught, records.writing() as session:
        session.add(Experiment(name="group"))
    assert isinstance(caught.value, Temporary)


def test_an_experiment_with_trainings_cannot_go(records: Records, make: Callable[..., str]):
    """The foreign key guards it, whoever deletes: the trainings are still there and the error is ours."""
    training_id = make()
    with pytest.raises(BlockError), records.writing() as session:
        experiments.forget(session, experiments.find(session, "group"))
    with records.reading() as session:
        assert trainings.find(session, training_id).experiment.name == "group"


def test_a_training_takes_its_own_with_it(records: Records, make: Callable[..., str]):
    """Forgetting a training removes its attempts, checkpoints and events, and nobody else's."""
    kept, gone = make(), make(TrainingState.STOPPED)
    with records.writing() as session:
        trainings.forget(session, trainings.find(session, gone))
    with records.reading() as session:
        assert [row.id for row in session.scalars(select(Training))] == [kept]
        assert {event.resource_id for event in session.scalars(select(Event)) if event.kind == "training"} == {kept}
