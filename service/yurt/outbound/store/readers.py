"""Reads of committed data, in a few threads with connections of their own that cannot write."""

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from yurt.outbound.store.errors import is_away, unavailable

THREADS = 4
TIMEOUT_S = 5.0
_STEPS_BETWEEN_LOOKS = 10_000
"""Steps of SQLite's machine, about 0.1 ms, between two looks at whether the read is still wanted."""


@dataclass(slots=True)
class _Read:
    """One read, and whether anybody still waits for it."""

    unwanted: bool = False

    def over(self) -> bool:
        return self.unwanted


def uri_of(path: Path, how: str = "mode=ro") -> str:
    """What opens a database so that it cannot be written, whatever characters its path has."""
    return f"file:{quote(str(path.absolute()))}?{how}"


class Rows(Protocol):
    """Runs SELECTs."""

    async def rows(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement, from one state of the database."""


class Readers:
    """Runs SELECTs beside the writer.

    Args:
        path: the database; it must exist.
        timeout_s: how long a read may take, waiting for a thread included, in seconds.
    """

    def __init__(self, path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._uri = uri_of(path)
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store-reader")
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._closed = False

    async def rows(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement, from one state of the database.

        Raises:
            Unavailable: the store cannot be read, takes too long, or is closed.
        """
        if self._closed:
            raise unavailable("The store is closed.")
        read = _Read()
        try:
            async with asyncio.timeout(self._timeout_s):
                work = asyncio.get_running_loop().run_in_executor(self._pool, self._fetch, read, sql, parameters)
                return await work
        except TimeoutError as error:
            raise unavailable(f"The store did not answer a read within {self._timeout_s:g} s.") from error
        except sqlite3.Error as error:
            if is_away(error):
                raise unavailable(f"The store cannot be read: {error}.") from error
            raise
        finally:
            read.unwanted = True

    def _fetch(self, read: _Read, sql: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        db = self._connection()
        db.set_progress_handler(read.over, _STEPS_BETWEEN_LOOKS)
        try:
            return db.execute(sql, parameters).fetchall()
        finally:
            db.set_progress_handler(None, 0)

    def _connection(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._own, "db", None)
        if db is None:
            db = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False, timeout=1)
            db.execute("PRAGMA cache_size = -2048")  # 2 MiB a thread: it counts as the server's memory
            self._own.db = db
            self._open.append(db)
        return db

    def close(self) -> None:
        """End the threads and their connections. Blocks while a read is under way, at most its timeout."""
        self._closed = True
        self._pool.shutdown(cancel_futures=True)
        while self._open:
            self._open.pop().close()
