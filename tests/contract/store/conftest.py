"""What the suite runs over: every kind of store behind one small handle; a new kind is a class and a parameter."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.clocks import FreeClock
from tests.postgres import PostgresServer
from yurt.outbound.store import open_store
from yurt.outbound.store.postgres.store import PostgresStore, open_postgres
from yurt.ports import Store


class Stores(Protocol):
    """Opens one store again and again, and looks at it from outside."""

    clock: FreeClock

    async def open(self) -> Store:
        """Open it; what is still open at the end of the test is closed then."""

    def committed(self, table: str) -> int:
        """How many rows another connection sees in a table, without a turn of the loop."""


class SqliteStores:
    """A data directory."""

    def __init__(self, directory: Path, *, power: bool = False) -> None:
        self.directory = directory
        self.power = power
        self.clock = FreeClock()
        self.opened: list[Store] = []

    async def open(self) -> Store:
        store = await open_store(self.directory, clock=self.clock, power=self.power)
        self.opened.append(store)
        return store

    def committed(self, table: str) -> int:
        other = sqlite3.connect(f"file:{self.directory / 'yurt.db'}?mode=ro", uri=True)
        try:
            (rows,) = other.execute(f"SELECT count(*) FROM {table}").fetchone()
            return int(rows)
        finally:
            other.close()


@pytest.fixture
async def sqlite_stores(tmp_path: Path) -> AsyncIterator[SqliteStores]:
    stores = SqliteStores(tmp_path / "data")
    yield stores
    for store in stores.opened:
        await store.close()


@pytest.fixture
async def power_stores(tmp_path: Path) -> AsyncIterator[SqliteStores]:
    stores = SqliteStores(tmp_path / "data", power=True)
    yield stores
    for store in stores.opened:
        await store.close()


class PostgresStores:
    """A database of its own."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.database = server.database()
        self.clock = FreeClock()
        self.opened: list[PostgresStore] = []

    async def open(self) -> PostgresStore:
        store = await open_postgres(self.server.url(self.database), clock=self.clock)
        self.opened.append(store)
        return store

    def committed(self, table: str) -> int:
        return int(self.server.psql(self.database, f"SELECT count(*) FROM {table}"))


@pytest.fixture
async def postgres_stores(postgres: PostgresServer) -> AsyncIterator[PostgresStores]:
    stores = PostgresStores(postgres)
    yield stores
    for store in stores.opened:
        await store.close()
    postgres.psql("postgres", f"DROP DATABASE {stores.database} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "power", "postgres"])
def stores(request: pytest.FixtureRequest) -> Stores:
    handle: Stores = request.getfixturevalue(f"{request.param}_stores")
    return handle


@pytest.fixture
async def store(stores: Stores) -> Store:
    return await stores.open()
