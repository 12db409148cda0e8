"""`yurt.ports.Items`: what generators yielded, block by block."""

from typing import Any

import sqlalchemy as sa

from yurt.domain.records import ItemBlock
from yurt.outbound.store.readers import Rows
from yurt.outbound.store.shapes import compile_query, shape_of
from yurt.outbound.store.tables import items

_SEQ: sa.BindParameter[int] = sa.bindparam("seq")
_LIMIT: sa.BindParameter[int] = sa.bindparam("limit_rows")


def last_of(seq: sa.ColumnElement[int], value: sa.ColumnElement[int]) -> sa.ScalarSelect[Any]:
    """`value` of the last block of an input."""
    return sa.select(value).where(items.c.seq == seq).order_by(items.c.first.desc()).limit(1).scalar_subquery()


_START: sa.BindParameter[int] = sa.bindparam("start")
_HOLDS_START = (
    sa.select(items.c.first)
    .where(items.c.seq == _SEQ, items.c.first <= _START)
    .order_by(items.c.first.desc())
    .limit(1)
    .scalar_subquery()
)
_BLOCKS = compile_query(
    sa.select(items)
    .where(items.c.seq == _SEQ, items.c.first >= _HOLDS_START, items.c.first + items.c.count > _START)
    .order_by(items.c.first)
    .limit(_LIMIT)
)
_FIRSTS = compile_query(sa.select(items.c.first).where(items.c.seq == _SEQ).order_by(items.c.first).limit(_LIMIT))


class SqliteItems:
    """`yurt.ports.Items` over the same readers as the records."""

    def __init__(self, readers: Rows) -> None:
        self._readers = readers

    async def blocks(self, seq: int, start: int, *, limit: int) -> list[ItemBlock]:
        """Blocks of an input in order, from the one on that holds the item `start`; at most `limit`."""
        rows = await self._readers.rows(_BLOCKS.sql, _BLOCKS.bind(seq=seq, start=start, limit_rows=limit))
        return list(map(shape_of(ItemBlock).make, rows))

    async def firsts(self, seq: int, *, limit: int) -> list[int]:
        """The first numbers of the first blocks of an input: with `seq` they are the keys of its blocks."""
        rows = await self._readers.rows(_FIRSTS.sql, _FIRSTS.bind(seq=seq, limit_rows=limit))
        return [first for (first,) in rows]
