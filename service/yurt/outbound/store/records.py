"""`yurt.ports.Records`: reads by key and by equality."""

from collections.abc import Mapping
from typing import TypeVar

from yurt.domain.changes import Record
from yurt.outbound.store.readers import Rows
from yurt.outbound.store.shapes import find_query, find_tests, shape_of

R = TypeVar("R", bound=Record)


class SqliteRecords:
    """`yurt.ports.Records` over the tables of `yurt.outbound.store.tables`."""

    def __init__(self, readers: Rows) -> None:
        self._readers = readers

    async def get(self, kind: type[R], *key: str | int) -> R | None:
        """The record with that key, or None."""
        shape = shape_of(kind)
        rows = await self._readers.rows(shape.get, key)
        return shape.make(rows[0]) if rows else None

    async def find(
        self,
        kind: type[R],
        where: Mapping[str, str | int | float | None],
        *,
        before: tuple[str | int, ...] | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """Records whose fields equal `where`, by key downwards."""
        shape = shape_of(kind)
        query = find_query(shape.table.name, find_tests(where), paged=before is not None, limited=limit is not None)
        cursor = {f"before_{place}": value for place, value in enumerate(before or ())}
        rows = await self._readers.rows(query.sql, query.bind(**where, **cursor, limit_rows=limit))
        return list(map(shape.make, rows))
