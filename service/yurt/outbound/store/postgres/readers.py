"""Reads of committed data over a few connections, each checked to be to the right database."""

from functools import cache
from itertools import count
from typing import Any

import asyncpg

from yurt.outbound.store.errors import StoreAway, StoreDeposed, unavailable
from yurt.outbound.store.postgres.link import BY_KEY, CONNECT_S, Link, identity_of, is_away, judge, reason_of
from yurt.outbound.store.postgres.parts import plain
from yurt.ports import Identity

CONNECTIONS = 4
TIMEOUT_S = 5.0


@cache
def in_postgres(sql: str) -> str:
    """A statement as PostgreSQL writes it: the two differ in placeholders, and in how JSON is taken apart."""
    numbers = count(1)
    pieces = sql.replace("json_each(calls.metadata_json)", "jsonb_each_text(calls.metadata_json::jsonb)").split("?")
    return pieces[0] + "".join(f"${next(numbers)}{piece}" for piece in pieces[1:])


class PostgresReaders:
    """Runs SELECTs beside the writer.

    Args:
        link: where the database is.
        ours: what it must be; a connection to any other is refused.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pool: asyncpg.Pool[Any] | None = None
        self._closed = False

    async def open(self) -> None:
        """Begin, with one connection."""
        self._pool = await asyncpg.create_pool(
            self._link.url,
            min_size=1,
            max_size=CONNECTIONS,
            init=self._check,
            timeout=CONNECT_S,
            command_timeout=TIMEOUT_S,
            statement_cache_size=200,
            server_settings=BY_KEY | {"default_transaction_read_only": "on", "application_name": "yurt reader"},
        )

    async def _check(self, db: "asyncpg.Connection[Any]") -> None:
        if self._link.ours is not None:
            judge(self._link.place, await identity_of(db), self._ours())

    def _ours(self) -> Identity:
        if self._link.ours is None:
            raise StoreAway("the store is not open")
        return self._link.ours

    async def rows(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement, from one state of the database.

        Raises:
            Unavailable: the store cannot be read, takes too long, or is closed.
        """
        if self._closed or self._pool is None:
            raise unavailable("The store is closed.")
        try:
            return await self._pool.fetch(in_postgres(sql), *map(plain, parameters), timeout=TIMEOUT_S)
        except TimeoutError as error:
            raise unavailable(f"The store did not answer a read within {TIMEOUT_S:g} s.") from error
        except (StoreAway, StoreDeposed) as error:
            raise unavailable(f"The store cannot be read: {error}.") from error
        except Exception as error:
            if is_away(error):
                raise unavailable(f"The store cannot be read: {reason_of(error)}.") from error
            raise

    async def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        if self._pool is not None:
            self._pool.terminate()
            await self._pool.close()
