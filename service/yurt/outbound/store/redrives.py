"""`yurt.ports.Redrives`: what failed and can be repeated, in bounded portions."""

from typing import Any

import sqlalchemy as sa

from yurt.domain.changes import MapInput
from yurt.domain.records import Block, Call, Outcome
from yurt.outbound.store.calls import WHOLE_CALL, call_of
from yurt.outbound.store.readers import Rows
from yurt.outbound.store.shapes import compile_query
from yurt.outbound.store.tables import calls, inputs, redrives, results, targets
from yurt.ports import Failed

LOOKED_AT = 2000
"""Calls that one read looks at, however few of them failed: some 10 ms of a thread."""
ROWS = 250
"""Rows that one read returns."""


def _portion(
    table: sa.Table, after: int, last: int, limit_bytes: int, *conditions: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    """The first rows with a result, as long as the arguments of those before them are below `limit_bytes`.

    Their sizes are added up first, so that no more arguments are read than are returned.
    """
    size = sa.func.coalesce(sa.func.length(table.c.args), sa.literal_column("0", sa.Integer()))
    running = sa.cast(sa.func.sum(size).over(order_by=table.c.seq), sa.BigInteger())
    sized = (
        sa.select(table.c.seq, (running - size).label("before"))
        .select_from(table.join(results, results.c.seq == table.c.seq))
        .where(table.c.seq > after, table.c.seq <= last, *conditions)
        .order_by(table.c.seq)
        .limit(ROWS)
        .cte("sized")
    )
    found = sized.join(table, table.c.seq == sized.c.seq)
    return (
        sa.select(*(WHOLE_CALL if table is calls else table.columns))
        .select_from(found.outerjoin(targets, targets.c.seq == table.c.seq) if table is calls else found)
        .where(sized.c.before < limit_bytes)
        .order_by(table.c.seq)
    )


class SqliteRedrives:
    """`yurt.ports.Redrives` over the same readers as the records."""

    def __init__(self, readers: Rows) -> None:
        self._readers = readers

    async def inputs(self, block: Block, *, after: int, limit_bytes: int) -> list[MapInput]:
        """Inputs of a block, behind the number `after`, that failed or were cancelled."""
        mine = (inputs.c.call_seq == block.call_seq, results.c.outcome != Outcome.SUCCESS.value)
        first, last = max(after, block.first_seq - 1), block.first_seq + block.size - 1
        query = compile_query(_portion(inputs, first, last, limit_bytes, *mine))
        return [MapInput(*row) for row in await self._readers.rows(query.sql, query.bind())]

    async def calls(self, wanted: Failed, *, after: int, until: int, limit_bytes: int) -> tuple[list[Call], int]:
        """Calls to repeat, behind the number `after` and up to `until`, and the number behind which to go on."""
        last = await self._reach(wanted.function_id, after, until)
        query = compile_query(
            _portion(
                calls,
                after,
                last,
                limit_bytes,
                calls.c.function_id == wanted.function_id,
                calls.c.created_at >= wanted.since,
                results.c.outcome.in_(wanted.outcomes),
                ~sa.exists(sa.select(sa.literal_column("1")).where(redrives.c.of_seq == calls.c.seq)),
            )
        )
        rows = [call_of(row) for row in await self._readers.rows(query.sql, query.bind())]
        return rows, rows[-1].seq if rows else last

    async def _reach(self, function_id: str, after: int, until: int) -> int:
        """How far one read looks."""
        query = compile_query(
            sa.select(calls.c.seq)
            .where(calls.c.function_id == function_id, calls.c.seq > after, calls.c.seq <= until)
            .order_by(calls.c.seq)
            .offset(LOOKED_AT - 1)
            .limit(1)
        )
        found = await self._readers.rows(query.sql, query.bind())
        return int(found[0][0]) if found else until
