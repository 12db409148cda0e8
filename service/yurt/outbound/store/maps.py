"""`yurt.ports.Maps`: reads of maps, and of what waits, a range at a time."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from yurt.domain.records import Block, CallKind, Claim, Map, Outcome, Payload, Progress, Result, Timer, TimerKind
from yurt.outbound.store.calls import (
    CALL_COLUMNS,
    CALLS,
    WHOLE_CALL,
    call_of,
    in_time,
    pending_of,
    result_of,
    shown_of,
)
from yurt.outbound.store.readers import Rows
from yurt.outbound.store.shapes import Row, compile_query, shape_of
from yurt.outbound.store.tables import blocks, calls, claims, inputs, maps, pending, progress, results, targets, timers
from yurt.ports import HeldBack, OpenMap, PendingInput, PendingRange, TimerKey, WaitingInput

_PROGRESS_COLUMNS = len(progress.columns)

_FIRST: sa.BindParameter[int] = sa.bindparam("first")
_LAST: sa.BindParameter[int] = sa.bindparam("last")
_LIMIT: sa.BindParameter[int] = sa.bindparam("limit_rows")

_GET = compile_query(sa.select(maps).where(maps.c.seq == sa.bindparam("seq")))
_BLOCKS = compile_query(
    sa.select(blocks).where(blocks.c.call_seq == sa.bindparam("call_seq")).order_by(blocks.c.first_idx)
)
_OPEN = compile_query(
    sa.select(*WHOLE_CALL, maps)
    .select_from(CALLS.join(maps, maps.c.seq == calls.c.seq).outerjoin(results, results.c.seq == maps.c.seq))
    .where(results.c.seq.is_(None))
    .order_by(maps.c.seq)
)


_ONE, _NONE = sa.literal_column("1", sa.Integer()), sa.literal_column("0", sa.Integer())
"""Spelled out: PostgreSQL takes a parameter here for text."""


def _how_many(found: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((found, _ONE), else_=_NONE)), _NONE)


_SUCCESS = results.c.outcome == Outcome.SUCCESS.value
_CANCELLED = results.c.outcome == Outcome.CANCELLED.value
_OF_BLOCK = results.c.seq.between(blocks.c.first_seq, blocks.c.first_seq + blocks.c.size - 1)
_OPEN_BLOCKS = compile_query(
    sa.select(
        blocks,
        _how_many(_SUCCESS),
        _how_many(sa.and_(~_SUCCESS, ~_CANCELLED)),
        _how_many(_CANCELLED),
    )
    .select_from(blocks.outerjoin(results, _OF_BLOCK))
    .where(blocks.c.call_seq == sa.bindparam("call_seq"), blocks.c.first_idx >= sa.bindparam("first_idx"))
    .group_by(*blocks.columns)
    .order_by(blocks.c.first_idx)
    .limit(_LIMIT)
)
_INPUTS = compile_query(
    sa.select(inputs.c.seq, inputs.c.args, inputs.c.args_blob, progress, claims, *in_time(inputs.c.seq))
    .select_from(
        inputs.outerjoin(results, results.c.seq == inputs.c.seq)
        .outerjoin(progress, progress.c.seq == inputs.c.seq)
        .outerjoin(claims, claims.c.seq == inputs.c.seq)
    )
    .where(
        inputs.c.seq.between(_FIRST, _LAST),
        inputs.c.call_seq == sa.bindparam("call_seq"),
        results.c.seq.is_(None),
    )
    .order_by(inputs.c.seq)
    .limit(_LIMIT)
)
_ARGUMENTS = compile_query(sa.select(inputs.c.args, inputs.c.args_blob).where(inputs.c.seq == sa.bindparam("seq")))
_RESULTS = compile_query(
    sa.select(results).where(results.c.seq.between(_FIRST, _LAST)).order_by(results.c.seq).limit(_LIMIT)
)
_RANGES = compile_query(
    sa.select(
        pending.c.queue,
        pending.c.caller,
        pending.c.rank,
        sa.func.min(pending.c.seq),
        sa.func.max(pending.c.seq),
        sa.func.count(),
    ).group_by(pending.c.queue, pending.c.caller, pending.c.rank)
)
_WITH_ATTEMPTS = (
    pending.join(calls, calls.c.seq == pending.c.seq)
    .outerjoin(targets, targets.c.seq == pending.c.seq)
    .outerjoin(progress, progress.c.seq == pending.c.seq)
    .outerjoin(claims, claims.c.seq == pending.c.seq)
)
_WAITING = compile_query(
    sa.select(*WHOLE_CALL, progress, claims, *in_time(calls.c.seq), *shown_of(calls.c.seq))
    .select_from(_WITH_ATTEMPTS)
    .where(
        pending.c.queue == sa.bindparam("queue"),
        pending.c.caller == sa.bindparam("caller"),
        pending.c.rank == sa.bindparam("rank"),
        pending.c.seq.between(_FIRST, _LAST),
    )
    .order_by(pending.c.seq)
    .limit(_LIMIT)
)
_OPEN_CALLS = (
    sa.select(*WHOLE_CALL, progress, claims, *in_time(calls.c.seq), *shown_of(calls.c.seq))
    .select_from(
        CALLS.outerjoin(results, results.c.seq == calls.c.seq)
        .outerjoin(progress, progress.c.seq == calls.c.seq)
        .outerjoin(claims, claims.c.seq == calls.c.seq)
    )
    .where(results.c.seq.is_(None), calls.c.kind != CallKind.MAP.value)
)
_TIMER_KEY = (timers.c.due_at, timers.c.seq, timers.c.kind)
_TIMERS = compile_query(
    sa.select(timers)
    .where(sa.tuple_(*_TIMER_KEY) > sa.tuple_(*(sa.bindparam(one.name, type_=one.type) for one in _TIMER_KEY)))
    .order_by(*_TIMER_KEY)
    .limit(_LIMIT)
)
_STARTS = timers.join(calls, calls.c.seq == timers.c.seq).outerjoin(targets, targets.c.seq == calls.c.seq)
_IS_START = timers.c.kind == TimerKind.START.value
_QUEUE = sa.func.coalesce(targets.c.queue, calls.c.function_id)
_HELD_BACK = compile_query(
    sa.select(*WHOLE_CALL, progress, claims, *in_time(calls.c.seq), *shown_of(calls.c.seq))
    .select_from(
        _STARTS.outerjoin(progress, progress.c.seq == calls.c.seq).outerjoin(claims, claims.c.seq == calls.c.seq)
    )
    .where(_IS_START, timers.c.seq >= _FIRST, sa.bindparam("queue") == _QUEUE)
    .order_by(timers.c.seq)
    .limit(_LIMIT)
)
_COUNT_HELD_BACK = compile_query(
    sa.select(_QUEUE, calls.c.function_id, sa.func.min(targets.c.parameters_json), sa.func.count())
    .select_from(_STARTS)
    .where(_IS_START)
    .group_by(_QUEUE, calls.c.function_id)
)
BLOCKS_A_READ = 200
"""Blocks whose results are counted in one read: some 100,000 results, about 50 ms of a thread."""


class SqliteMaps:
    """`yurt.ports.Maps` over the same readers as the records."""

    def __init__(self, readers: Rows) -> None:
        self._readers = readers

    async def get(self, seq: int) -> tuple[Map, list[Block]] | None:
        """A map and its blocks in order, or None."""
        found = await self._readers.rows(_GET.sql, _GET.bind(seq=seq))
        if not found:
            return None
        rows = await self._readers.rows(_BLOCKS.sql, _BLOCKS.bind(call_seq=seq))
        return shape_of(Map).make(found[0]), [Block(*row) for row in rows]

    async def opened(self) -> list[OpenMap]:
        """The maps that have not ended."""
        rows = await self._readers.rows(_OPEN.sql, _OPEN.bind())
        return [
            OpenMap(
                call_of(row[:CALL_COLUMNS]),
                shape_of(Map).make(row[CALL_COLUMNS:]),
                await self._counted(row[0]),
            )
            for row in rows
        ]

    async def _counted(self, seq: int) -> list[tuple[Block, int, int, int]]:
        found: list[tuple[Block, int, int, int]] = []
        first = 0
        while True:
            bound = _OPEN_BLOCKS.bind(call_seq=seq, first_idx=first, limit_rows=BLOCKS_A_READ)
            rows = await self._readers.rows(_OPEN_BLOCKS.sql, bound)
            found += [(Block(*row[:4]), int(row[4]), int(row[5]), int(row[6])) for row in rows]
            if len(rows) < BLOCKS_A_READ:
                return found
            first = found[-1][0].first_idx + 1

    async def inputs(self, call_seq: int, first: int, last: int, *, limit: int) -> list[WaitingInput]:
        """Inputs of a map without a result, by seq, from `first` to `last`."""
        bound = _INPUTS.bind(call_seq=call_seq, first=first, last=last, limit_rows=limit)
        rows = await self._readers.rows(_INPUTS.sql, bound)
        return list(map(_waiting, rows))

    async def arguments(self, seq: int) -> Payload | None:
        """What an input of a map is called with, or None where there is none of that number."""
        rows = await self._readers.rows(_ARGUMENTS.sql, _ARGUMENTS.bind(seq=seq))
        return Payload(*rows[0]) if rows else None

    async def results(self, first: int, last: int, *, limit: int) -> list[Result]:
        """Results by seq, from `first` to `last`."""
        rows = await self._readers.rows(_RESULTS.sql, _RESULTS.bind(first=first, last=last, limit_rows=limit))
        return [found for row in rows if (found := result_of(row)) is not None]

    async def ranges(self) -> list[PendingRange]:
        """What waits, but for maps."""
        return [PendingRange(*row) for row in await self._readers.rows(_RANGES.sql, _RANGES.bind())]

    async def waiting(self, where: PendingRange, *, limit: int) -> list[PendingInput]:
        """Inputs of a range, by seq."""
        bound = _WAITING.bind(
            queue=where.queue,
            caller=where.caller,
            rank=where.rank,
            first=where.first,
            last=where.last,
            limit_rows=limit,
        )
        return list(map(pending_of, await self._readers.rows(_WAITING.sql, bound)))

    async def started(self) -> list[PendingInput]:
        """Pending inputs that have begun before, but for maps."""
        begun = sa.union(sa.select(claims.c.seq), sa.select(progress.c.seq)).cte("begun")
        return await self._these(sa.select(begun.c.seq))

    async def pending(self, seqs: Sequence[int]) -> list[PendingInput]:
        """Those of `seqs` that have not ended, but for maps; those that are held back too."""
        return await self._these(list(seqs)) if seqs else []

    async def _these(self, seqs: Any) -> list[PendingInput]:
        query = compile_query(_OPEN_CALLS.where(calls.c.seq.in_(seqs)))
        return list(map(pending_of, await self._readers.rows(query.sql, query.bind())))

    async def timers(self, after: TimerKey, *, limit: int) -> list[Timer]:
        """Timers in the order in which they are due, from behind `after` on."""
        due_at, seq, kind = after
        rows = await self._readers.rows(_TIMERS.sql, _TIMERS.bind(due_at=due_at, seq=seq, kind=kind, limit_rows=limit))
        return [Timer(seq, TimerKind(kind), due_at) for seq, kind, due_at in rows]

    async def held_back(self, queue: str, *, after: int, limit: int) -> list[PendingInput]:
        """Calls of one input that wait for a time of their own, by seq, from behind `after` on."""
        bound = _HELD_BACK.bind(queue=queue, first=after + 1, limit_rows=limit)
        return list(map(pending_of, await self._readers.rows(_HELD_BACK.sql, bound)))

    async def count_held_back(self) -> list[HeldBack]:
        """How many those are, by queue."""
        return [HeldBack(*row) for row in await self._readers.rows(_COUNT_HELD_BACK.sql, _COUNT_HELD_BACK.bind())]


def _waiting(row: Row) -> WaitingInput:
    (seq, args, blob), rest = row[:3], row[3:-2]
    made, held = rest[:_PROGRESS_COLUMNS], rest[_PROGRESS_COLUMNS:]
    return WaitingInput(
        seq,
        args,
        blob,
        None if made[0] is None else shape_of(Progress).make(made),
        None if held[0] is None else shape_of(Claim).make(held),
        bool(row[-2]),
        row[-1],
    )
