"""The one writing connection: its lock, its checks, and connecting again."""

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from yurt.outbound.store.errors import StoreAway, StoreDeposed, StoreInUse
from yurt.ports import Identity

CONNECT_S = 5.0
COMMAND_S = 15.0
LOCK = "hashtext('yurt'), hashtext(current_schema())"
"""One server a schema."""

BY_KEY = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Every statement goes by keys and in pages. The planner, which may know nothing yet of tables that were just filled,
must not choose otherwise, nor plan anew each time."""

_ALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""A server that has lost its client lets go of the lock after 25 s."""

AWAY_CLASSES = ("08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX")
"""Classes of SQLSTATE that blame the database's surroundings: connection, read-only, login, no such database, rollback,
resources, operator, system, damage (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def is_away(error: BaseException) -> bool:
    """Whether the database, rather than what was asked of it, is the cause."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "XX")[:2] in AWAY_CLASSES
    if isinstance(error, ValueError | TypeError):
        return False  # what the driver says of values that it cannot send
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError)


def place_of(url: str) -> str:
    """Where a database is, for people: without the user and the password."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname or 'the local socket'}{port}{parts.path}"


def reason_of(error: BaseException) -> str:
    """The text of an error, or its name where it has none."""
    return str(error) or type(error).__name__


async def connect(url: str, **settings: str) -> "asyncpg.Connection[Any]":
    """A connection that goes by keys.

    Raises:
        StoreAway: there is none to be had.
    """
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_S,
            command_timeout=COMMAND_S,
            statement_cache_size=500,
            server_settings=BY_KEY | _ALIVE | settings,
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        raise StoreAway(f"{place_of(url)}: {reason_of(error)}") from error


async def identity_of(db: "asyncpg.Connection[Any]") -> Identity | None:
    """What the database says it is; None where it has no store."""
    if not await db.fetchval("SELECT to_regclass('meta') IS NOT NULL"):
        return None
    row = await db.fetchrow("SELECT installation, key, epoch FROM meta")
    return Identity(installation=row[0], key=row[1], epoch=row[2]) if row else None


def judge(place: str, found: Identity | None, ours: Identity) -> None:
    """Return if `found` is the store that we own.

    Raises:
        StoreAway: it is another database, or an older state of ours, and must not be touched.
        StoreDeposed: another server owns it now.
    """
    if found is None:
        raise StoreAway(f"{place} is reachable and has no store: it is not the database that this server was using")
    if found.installation != ours.installation:
        raise StoreAway(f"{place} holds the store of another installation ({found.installation})")
    if found.epoch < ours.epoch:
        raise StoreAway(f"{place} is older than what this server has written (epoch {found.epoch} of {ours.epoch})")
    if found.epoch > ours.epoch:
        raise StoreDeposed(f"Another server has opened the store at {place} since (epoch {found.epoch}).")


@dataclass
class Link:
    """Holds the connection; whoever finds it broken calls `drop`.

    Args:
        url: of the database.
        ours: what the database must be, once that is known.
    """

    url: str
    ours: Identity | None = None

    def __post_init__(self) -> None:
        self._db: asyncpg.Connection[Any] | None = None
        self._name = f"yurt writer {secrets.token_hex(6)}"

    @property
    def place(self) -> str:
        """Where the database is, for people."""
        return place_of(self.url)

    async def get(self) -> "asyncpg.Connection[Any]":
        """The connection: locked, and to the right database.

        Raises:
            StoreAway: there is none now.
            StoreDeposed: another server owns the store.
        """
        if self._db is None or self._db.is_closed():
            self._db = await self._connect()
        return self._db

    async def _connect(self) -> "asyncpg.Connection[Any]":
        db = await connect(self.url, application_name=self._name)
        try:
            await self._refuse_standby(db)
            if self.ours is not None:
                judge(self.place, await identity_of(db), self.ours)
            await self._lock(db)
            if self.ours is not None:  # again: another server may have come and gone before the lock was ours
                judge(self.place, await identity_of(db), self.ours)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            await _end(db)
            raise StoreAway(f"{self.place}: {reason_of(error)}") from error
        except BaseException:
            await _end(db)
            raise
        return db

    async def _refuse_standby(self, db: "asyncpg.Connection[Any]") -> None:
        if await db.fetchval("SELECT pg_is_in_recovery()"):
            raise StoreAway(f"{self.place} is a standby, and cannot be written")

    async def _lock(self, db: "asyncpg.Connection[Any]") -> None:
        if await db.fetchval(f"SELECT pg_try_advisory_lock({LOCK})"):
            return
        # A session of ours that the server believes alive still has it: end that one.
        await db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
            " AND pid <> pg_backend_pid()",
            self._name,
        )
        raise StoreInUse(f"The store at {self.place} is in use by another server.")

    async def drop(self) -> None:
        """Let go of the connection; `get` makes another."""
        db, self._db = self._db, None
        if db is not None:
            await _end(db)


async def _end(db: "asyncpg.Connection[Any]") -> None:
    if db.is_closed():
        return
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.TimeoutError):
        await db.close(timeout=1)
    db.terminate()
