"""The open store on SQLite: it survives the death of the server, and at the level `power` that of the machine."""

import asyncio
import sqlite3
from pathlib import Path
from typing import NoReturn

import structlog

from yurt.domain.errors import Unavailable
from yurt.outbound.store import statements
from yurt.outbound.store.callbacks import SqliteCallbacks
from yurt.outbound.store.calls import SqliteCalls
from yurt.outbound.store.checkpoints import Checkpoints
from yurt.outbound.store.flights import FlightJournal
from yurt.outbound.store.items import SqliteItems
from yurt.outbound.store.journal import GroupJournal, JournalBase
from yurt.outbound.store.maps import SqliteMaps
from yurt.outbound.store.opening import Opened, open_directory
from yurt.outbound.store.readers import Readers
from yurt.outbound.store.records import SqliteRecords
from yurt.outbound.store.redrives import SqliteRedrives
from yurt.outbound.store.retention import SqliteRetention
from yurt.outbound.store.threaded import ThreadWriter
from yurt.ports import Clock

_log = structlog.stdlib.get_logger(__name__)


class SqliteStore:
    """`yurt.ports.Store`. Made by `open_store`.

    Args:
        power: every commit is on the disk before anybody hears of it.
    """

    def __init__(self, opened: Opened, clock: Clock, *, power: bool) -> None:
        self._opened = opened
        self._readers = Readers(opened.path)
        self._closing = asyncio.Lock()
        self._closed = False
        self.identity = opened.writer.identity()
        self._thread = ThreadWriter(opened.writer) if power else None
        self.journal: JournalBase = (
            FlightJournal(self._thread, clock) if self._thread else GroupJournal(opened.writer, clock)
        )
        self.records = SqliteRecords(self._readers)
        self.calls = SqliteCalls(self._readers, clock)
        self.maps = SqliteMaps(self._readers)
        self.callbacks = SqliteCallbacks(self._readers)
        self.retention = SqliteRetention(self._readers)
        self.redrives = SqliteRedrives(self._readers)
        self.items = SqliteItems(self._readers)
        self._checkpoints = Checkpoints(opened.path, self.journal, clock)

    async def check(self) -> str | None:
        """None while reads and writes work, else the reason."""
        try:
            await self._readers.rows(statements.PROBE)
        except Unavailable as error:
            return error.detail
        away = self.journal.stats().away
        if away is not None:
            return f"The store in {self._opened.path.parent} cannot be written: {away}. It goes on when that has ended."
        return self._checkpoints.trouble()

    async def watch(self) -> NoReturn:
        """Return never: the lock of the directory keeps every other server out."""
        while True:
            await asyncio.Event().wait()

    async def close(self) -> None:
        """Commit what waits, bring the log into the database file, and let go of the store."""
        async with self._closing:
            if self._closed:
                return
            self._closed = True
            await self._checkpoints.close()
            await self.journal.close()
            await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._readers.close()
        if self._thread is not None:
            self._thread.close()
        try:
            self._opened.writer.close()
        except sqlite3.Error as error:
            # The log stays beside the database with everything in it; the next start goes on from there.
            _log.warning("store_log_left", reason=str(error))
        finally:
            self._opened.lock.release()


async def open_store(path: Path, *, clock: Clock, power: bool = False) -> SqliteStore:
    """Open the store in the data directory `path`, and make both if they are not there.

    Args:
        path: the data directory; it will be 0700.
        clock: tells epochs, expiry and how long writes have waited.
        power: every commit is on the disk before anybody hears of it.

    Raises:
        StoreRefused: it is locked, read-only, damaged, not Yurt's, or from a newer release; nothing was changed.
    """
    return SqliteStore(await asyncio.to_thread(open_directory, path, clock, power=power), clock, power=power)
