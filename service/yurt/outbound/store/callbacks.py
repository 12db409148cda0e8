"""`yurt.ports.Callbacks`: which callbacks are due."""

from collections.abc import Sequence

import sqlalchemy as sa

from yurt.domain.records import Callback
from yurt.outbound.store.readers import Rows
from yurt.outbound.store.shapes import compile_query, shape_of
from yurt.outbound.store.tables import callbacks


class SqliteCallbacks:
    """`yurt.ports.Callbacks` over the same readers as the records."""

    def __init__(self, readers: Rows) -> None:
        self._readers = readers

    async def due(self, now: float, *, busy: Sequence[str], limit: int) -> list[Callback]:
        """Those whose time has come, the longest due first, but for those to the hosts `busy`."""
        due = sa.select(callbacks).where(callbacks.c.due_at <= now).order_by(callbacks.c.due_at).limit(limit)
        query = compile_query(due.where(callbacks.c.host.not_in(busy)) if busy else due)
        return list(map(shape_of(Callback).make, await self._readers.rows(query.sql, query.bind())))
