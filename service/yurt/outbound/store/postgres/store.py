"""The open store on PostgreSQL."""

import asyncio
from typing import NoReturn

from yurt.domain.errors import Unavailable
from yurt.outbound.store import statements
from yurt.outbound.store.callbacks import SqliteCallbacks
from yurt.outbound.store.calls import SqliteCalls
from yurt.outbound.store.errors import StoreDeposed
from yurt.outbound.store.flights import FlightJournal
from yurt.outbound.store.items import SqliteItems
from yurt.outbound.store.maps import SqliteMaps
from yurt.outbound.store.postgres.opening import OpenedDatabase, open_database
from yurt.outbound.store.postgres.readers import PostgresReaders
from yurt.outbound.store.records import SqliteRecords
from yurt.outbound.store.redrives import SqliteRedrives
from yurt.outbound.store.retention import SqliteRetention
from yurt.ports import Clock


class PostgresStore:
    """`yurt.ports.Store`. Made by `open_postgres`."""

    def __init__(self, opened: OpenedDatabase, readers: PostgresReaders, clock: Clock) -> None:
        self._opened = opened
        self._readers = readers
        self._closing = asyncio.Lock()
        self._closed = False
        self.identity = opened.writer.identity
        self.journal = FlightJournal(opened.writer, clock)
        self.records = SqliteRecords(readers)
        self.calls = SqliteCalls(readers, clock)
        self.maps = SqliteMaps(readers)
        self.callbacks = SqliteCallbacks(readers)
        self.retention = SqliteRetention(readers)
        self.redrives = SqliteRedrives(readers)
        self.items = SqliteItems(readers)

    async def check(self) -> str | None:
        """None while reads and writes work, else the reason."""
        away = self.journal.stats().away
        if away is not None:
            return f"The store cannot be written: {away}. It goes on when that has ended."
        try:
            await self._readers.rows(statements.PROBE)
        except Unavailable as error:
            return error.detail
        return None

    async def watch(self) -> NoReturn:
        """Return never.

        Raises:
            StoreDeposed: another server owns the store now.
        """
        raise StoreDeposed(await asyncio.shield(self.journal.deposed))

    async def close(self) -> None:
        """Commit what waits, and let go of the store. Safe to call twice."""
        async with self._closing:
            if self._closed:
                return
            self._closed = True
            await self.journal.close()
            await self._readers.close()
            await self._opened.link.drop()


async def open_postgres(url: str, *, clock: Clock, installation: str | None = None) -> PostgresStore:
    """Open the store in the database `url`, and make it if the database is empty.

    Args:
        url: `postgresql://user@host:port/database`.
        clock: tells epochs, expiry and how long writes have waited.
        installation: which store it must be; None takes any, and makes one in an empty database.

    Raises:
        StoreRefused: it is not reachable, in use, not Yurt's, not that one, or from a newer release; nothing was
            changed.
    """
    opened = await open_database(url, clock, installation)
    readers = PostgresReaders(opened.link)
    try:
        await readers.open()
    except BaseException:
        await opened.link.drop()
        raise
    return PostgresStore(opened, readers, clock)
