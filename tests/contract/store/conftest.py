"""What the suite runs over: every kind of store behind one small handle; a new kind is a class and a parameter."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.clocks import FreeClock
from yurt.outbound.store import open_store
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

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FreeClock()
        self.opened: list[Store] = []

    async def open(self) -> Store:
        store = await open_store(self.directory, clock=self.clock)
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


@pytest.fixture(params=["sqlite"])
def stores(request: pytest.FixtureRequest) -> Stores:
    handle: Stores = request.getfixturevalue(f"{request.param}_stores")
    return handle


@pytest.fixture
async def store(stores: Stores) -> Store:
    return await stores.open()
