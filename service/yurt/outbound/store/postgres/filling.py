"""Fills an empty database with the rows of a store in SQLite: all of them, or nothing."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import asyncpg
import sqlalchemy as sa

from yurt.outbound.store.errors import StoreRefused
from yurt.outbound.store.postgres.opening import migration
from yurt.outbound.store.postgres.parts import plain
from yurt.outbound.store.shapes import compile_query
from yurt.outbound.store.tables import METADATA
from yurt.ports import Tell

Row = tuple[Any, ...]

BATCH_ROWS = 5000
BATCH_BYTES = 4 << 20
"""A batch ends with the row that reaches one of the two: so much is in memory at once, and one row more."""
BATCH_S = 60.0
TABLE_S = 900.0
"""How long the database may take over a batch, and over reading a whole table."""


async def fill(
    db: "asyncpg.Connection[Any]", source: sqlite3.Connection, *, tell: Tell, ready: Callable[[], None]
) -> dict[str, int]:
    """Make the schema in an empty database and copy every row into it, in one transaction.

    Args:
        source: the store in SQLite, with the newest schema; nobody writes to it meanwhile.
        tell: hears how many rows of which table are there.
        ready: called when all is there, before the commit; what it raises undoes everything.

    Returns:
        How many rows each table has.

    Raises:
        StoreRefused: the database has other rows than were sent.
    """
    async with db.transaction():
        await db.execute(migration(0))
        for table in METADATA.sorted_tables:
            await _copy(db, source, table, tell)
        # A connection of a store goes by keys; counting does not.
        await db.execute("SET LOCAL enable_seqscan = on")
        counts = {table.name: await _compare(db, source, table) for table in METADATA.sorted_tables}
        await db.execute(f"ANALYZE {', '.join(counts)}", timeout=TABLE_S)
        ready()
    return counts


async def count(db: "asyncpg.Connection[Any]", table: sa.Table) -> int:
    """The rows of a table."""
    return int(await db.fetchval(f"SELECT count(*) FROM {table.name}", timeout=TABLE_S))


async def _copy(db: "asyncpg.Connection[Any]", source: sqlite3.Connection, table: sa.Table, tell: Tell) -> None:
    total, done = _count(source, table), 0
    tell(table.name, done, total)
    names = [column.name for column in table.columns]
    for batch in batches(source.execute(compile_query(sa.select(table)).sql)):
        await db.copy_records_to_table(table.name, records=batch, columns=names, timeout=BATCH_S)
        done += len(batch)
        tell(table.name, done, total)


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in portions of bounded size, as PostgreSQL takes them."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(tuple(map(plain, row)))
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _compare(db: "asyncpg.Connection[Any]", source: sqlite3.Connection, table: sa.Table) -> int:
    sent, found = _count(source, table), await count(db, table)
    if sent != found:
        raise StoreRefused(f"The table {table.name} has {found} rows, and {sent} were sent. Nothing was copied.")
    return found


def _count(source: sqlite3.Connection, table: sa.Table) -> int:
    sql = compile_query(sa.select(sa.func.count()).select_from(table)).sql
    return int(source.execute(sql).fetchone()[0])
