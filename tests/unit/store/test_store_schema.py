"""The migrations make what the tables say, can be undone, and number themselves as the code believes."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.clocks import FreeClock
from yurt.outbound.store import StoreRefused, statements
from yurt.outbound.store.migrations import run
from yurt.outbound.store.schema import APPLICATION_ID, NEWEST, inspect, migrate
from yurt.outbound.store.tables import METADATA
from yurt.outbound.store.writer import SqliteWriter


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "yurt.db", isolation_level=None)
    yield connection
    connection.close()


def made_of(connection: sqlite3.Connection) -> set[str]:
    """Every table and index, whatever the order of its parts: a column that a migration adds comes behind the keys."""
    rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name != 'alembic_version'")
    return {_in_order(" ".join(sql.replace('"', "").split())) for (sql,) in rows}


def _in_order(sql: str) -> str:
    begin, end = sql.index("("), sql.rindex(")")
    parts = re.split(r",\s*(?![^(]*\))", sql[begin + 1 : end])
    return f"{sql[:begin]}({', '.join(sorted(part.strip() for part in parts))}){sql[end + 1 :]}"


def columns_of(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Rows are written in the order of their columns."""
    return {
        name: [column[1] for column in connection.execute(f"PRAGMA table_info({name})")] for name in METADATA.tables
    }


def test_the_migrations_make_the_tables(db: sqlite3.Connection) -> None:
    migrate(db)
    fresh = sqlite3.connect(":memory:")
    METADATA.create_all(sa.create_engine("sqlite://", creator=lambda: fresh, poolclass=sa.StaticPool))
    assert made_of(db) == made_of(fresh)
    assert columns_of(db) == columns_of(fresh)
    fresh.close()


def test_alembic_sees_no_difference_either(db: sqlite3.Connection) -> None:
    migrate(db)
    engine = sa.create_engine("sqlite://", creator=lambda: db, poolclass=sa.StaticPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_up_down_up(db: sqlite3.Connection) -> None:
    migrate(db)
    whole = made_of(db)
    migrate(db, "base")
    assert made_of(db) == set()
    migrate(db)
    assert made_of(db) == whole


def test_the_newest_migration_is_the_one_that_the_code_names(db: sqlite3.Connection, tmp_path: Path) -> None:
    migrate(db)
    assert ScriptDirectory.from_config(run.config()).get_current_head() == f"{NEWEST:04}"
    assert db.execute("PRAGMA user_version").fetchone() == (NEWEST,)
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert inspect(tmp_path / "yurt.db") == NEWEST


def test_a_migration_that_fails_leaves_nothing(db: sqlite3.Connection, tmp_path: Path) -> None:
    db.execute("CREATE TABLE meta (theirs)")  # the last table of the first migration is taken
    before = made_of(db)
    with pytest.raises(sa.exc.OperationalError):
        migrate(db)
    assert made_of(db) == before
    assert db.execute("PRAGMA application_id").fetchone() == (0,)


def test_nothing_there_is_version_0(tmp_path: Path) -> None:
    assert inspect(tmp_path / "none.db") == 0


def test_a_newer_schema_is_known_from_the_header_alone(db: sqlite3.Connection, tmp_path: Path) -> None:
    migrate(db)
    db.execute(f"PRAGMA user_version = {NEWEST + 1}")
    with pytest.raises(StoreRefused, match="newer release"):
        inspect(tmp_path / "yurt.db")


def test_an_epoch_is_committed_to_the_disk_and_nothing_else_is(db: sqlite3.Connection) -> None:
    migrate(db)
    db.execute(statements.INSERT_IDENTITY, ("here", b"key"))
    db.execute("PRAGMA synchronous = NORMAL")
    writer = SqliteWriter(db, FreeClock())
    said: list[str] = []
    db.set_trace_callback(said.append)
    epoch = writer.next_epoch()
    assert said[-3:] == ["PRAGMA synchronous = FULL", f"UPDATE meta SET epoch = {epoch}", "PRAGMA synchronous = NORMAL"]
    assert writer.identity().epoch == epoch
