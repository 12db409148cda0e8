"""`yurt.ports.Calls`: reads of calls, their results, and what is known of inputs that have not ended."""

from typing import Any

import sqlalchemy as sa

from yurt.domain.records import (
    AttemptRecord,
    Call,
    CallStatus,
    Claim,
    IdempotencyKey,
    Outcome,
    Payload,
    Progress,
    Result,
    Target,
    TimerKind,
)
from yurt.outbound.store.items import last_of
from yurt.outbound.store.readers import Rows
from yurt.outbound.store.shapes import Row, compile_query, shape_of
from yurt.outbound.store.tables import (
    apps,
    attempts,
    calls,
    claims,
    items,
    keys,
    pending,
    progress,
    results,
    targets,
    timers,
)
from yurt.ports import CallFilter, Clock, PendingInput, StoredCall

CALL_COLUMNS = len(calls.columns) + len(targets.columns)
_PROGRESS_COLUMNS = len(progress.columns)


WHOLE_CALL = (*calls.columns, *targets.columns)
CALLS = calls.outerjoin(targets, targets.c.seq == calls.c.seq)
"""What `call_of` reads, and where it comes from."""

_WITH_RESULT = CALLS.outerjoin(results, results.c.seq == calls.c.seq)
_GET = compile_query(
    sa.select(*WHOLE_CALL, results).select_from(_WITH_RESULT).where(calls.c.seq == sa.bindparam("seq"))
)
_CALL_KEPT = sa.exists(sa.select(sa.literal_column("1")).where(calls.c.seq == keys.c.seq))
_NAMED = compile_query(
    sa.select(keys).where(
        *(column == sa.bindparam(column.name) for column in keys.primary_key.columns),
        sa.or_(keys.c.expires_at > sa.bindparam("now"), _CALL_KEPT),
    )
)
# Of calls that are held back the caller's are found by their numbers: through the function's calls, all that are kept
# would be read.
_HELD_FOR = sa.select(calls.c.function_id).where(calls.c.seq == timers.c.seq, calls.c.caller == sa.bindparam("caller"))
_OPEN = compile_query(
    sa.union_all(
        sa.select(pending.c.seq).where(
            pending.c.queue == sa.bindparam("queue"), pending.c.caller == sa.bindparam("caller")
        ),
        sa.select(timers.c.seq).where(
            timers.c.kind == TimerKind.START.value,
            _HELD_FOR.correlate(timers).scalar_subquery() == sa.bindparam("function_id"),
        ),
    ).limit(1)
)
_ATTEMPTS = compile_query(sa.select(attempts).where(attempts.c.seq == sa.bindparam("seq")).order_by(attempts.c.number))


class SqliteCalls:
    """`yurt.ports.Calls` over the same readers as the records.

    Args:
        clock: says which idempotency keys have expired.
    """

    def __init__(self, readers: Rows, clock: Clock) -> None:
        self._readers = readers
        self._clock = clock

    async def get(self, seq: int) -> StoredCall | None:
        """One call, or None."""
        rows = await self._readers.rows(_GET.sql, _GET.bind(seq=seq))
        return _stored(rows[0]) if rows else None

    async def find(self, wanted: CallFilter, *, before: int | None, limit: int, values: bool) -> list[StoredCall]:
        """Calls by seq downwards, below `before`."""
        query = compile_query(_listing(wanted, before=before, limit=limit, values=values))
        return list(map(_stored, await self._readers.rows(query.sql, query.bind())))

    async def key(self, token_id: str, function_id: str, key: str) -> IdempotencyKey | None:
        """The call that a caller named so, or None."""
        named = {"token_id": token_id, "function_id": function_id, "key": key}
        rows = await self._readers.rows(_NAMED.sql, _NAMED.bind(now=self._clock.now(), **named))
        return shape_of(IdempotencyKey).make(rows[0]) if rows else None

    async def has_open(self, function_id: str, queue: str, caller: str) -> bool:
        """Whether a call of one input that this caller made of the function has not ended."""
        bound = _OPEN.bind(function_id=function_id, queue=queue, caller=caller)
        return bool(await self._readers.rows(_OPEN.sql, bound))

    async def attempts(self, seq: int) -> list[AttemptRecord]:
        """The attempts that did not end their input, by number upwards."""
        rows = await self._readers.rows(_ATTEMPTS.sql, _ATTEMPTS.bind(seq=seq))
        return list(map(shape_of(AttemptRecord).make, rows))


def _listing(wanted: CallFilter, *, before: int | None, limit: int, values: bool) -> sa.Select[Any]:
    columns = [*WHOLE_CALL, *results.columns]
    if not values:
        left_there = {calls.c.args, calls.c.args_blob, results.c.value, results.c.value_blob}
        columns = [sa.null().label(column.name) if column in left_there else column for column in columns]
    query = sa.select(*columns).select_from(_WITH_RESULT).where(*_conditions(wanted))
    if before is not None:
        query = query.where(calls.c.seq < before)
    return query.order_by(calls.c.seq.desc()).limit(limit)


def _conditions(wanted: CallFilter) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.function_id is not None:
        found.append(calls.c.function_id == wanted.function_id)
    if wanted.app_id is not None:
        found.append(calls.c.app_id == wanted.app_id)
    if wanted.environment is not None:
        found.append(calls.c.app_id.in_(sa.select(apps.c.id).where(apps.c.environment == wanted.environment)))
    if wanted.kinds:
        found.append(calls.c.kind.in_(wanted.kinds))
    if wanted.statuses:
        found.append(sa.or_(*map(_has_status, wanted.statuses)))
    if wanted.since is not None:
        found.append(calls.c.created_at >= wanted.since)
    return found + [_has_pair(*pair) for pair in wanted.metadata.items()]


def _has_status(status: str) -> sa.ColumnElement[bool]:
    match CallStatus(status):
        case CallStatus.PENDING | CallStatus.RUNNING:
            return results.c.seq.is_(None)
        case CallStatus.SUCCESS:
            return results.c.outcome == Outcome.SUCCESS.value
        case CallStatus.TERMINATED:
            return results.c.outcome == Outcome.CANCELLED.value
        case CallStatus.FAILURE:
            return results.c.outcome.not_in([Outcome.SUCCESS.value, Outcome.CANCELLED.value])


def _has_pair(key: str, value: str) -> sa.ColumnElement[bool]:
    """By comparing the pairs one by one: a key may hold what means something in a path or a pattern."""
    pair = sa.func.json_each(calls.c.metadata_json).table_valued("key", "value")
    return sa.exists(
        sa.select(sa.literal_column("1")).select_from(pair).where(pair.c.key == key, pair.c.value == value)
    )


def call_of(row: Row) -> Call:
    """A row of `calls`, and one of `targets`, if a join found one."""
    *plain, data, blob = row[: len(calls.columns)]
    target = row[len(calls.columns) :]
    return Call(*(*plain, Payload(data, blob), Target(*target) if target[0] is not None else None))


def result_of(row: Row) -> Result | None:
    """A row of `results`, or None where a join found none."""
    seq, outcome, *plain, data, blob, error_json, items = row
    if seq is None:
        return None
    value = Payload(data, blob) if outcome == Outcome.SUCCESS and items is None else None
    return Result(*(seq, outcome, *plain, value, error_json, items))


def _stored(row: Row) -> StoredCall:
    return StoredCall(call_of(row[:CALL_COLUMNS]), result_of(row[CALL_COLUMNS:]))


def pending_of(row: Row) -> PendingInput:
    """What `call_of` reads, a row of `progress` and one of `claims`, and what `in_time` and `shown_of` say."""
    call, rest = row[:CALL_COLUMNS], row[CALL_COLUMNS:-4]
    made, held = rest[:_PROGRESS_COLUMNS], rest[_PROGRESS_COLUMNS:]
    return PendingInput(
        call=call_of(call),
        progress=None if made[0] is None else shape_of(Progress).make(made),
        claim=None if held[0] is None else shape_of(Claim).make(held),
        timed=bool(row[-4]),
        start_at=row[-3],
        items=row[-2] or 0,
        item_bytes=row[-1] or 0,
    )


def in_time(seq: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[Any], ...]:
    """Two columns: whether an input has timers, and until when it is held back."""
    its = timers.alias("its_timers")
    start = sa.select(its.c.due_at).where(its.c.seq == seq, its.c.kind == TimerKind.START.value)
    timed = sa.exists(sa.select(sa.literal_column("1")).select_from(its).where(its.c.seq == seq))
    return timed.label("timed"), start.scalar_subquery().label("start_at")


def shown_of(seq: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[Any], ...]:
    """Two columns: how many items of an input with a claim are stored, and their bytes."""
    claimed = claims.c.seq.is_not(None)
    count, size = last_of(seq, items.c.first + items.c.count), last_of(seq, items.c.total_bytes)
    return sa.case((claimed, count)).label("items"), sa.case((claimed, size)).label("item_bytes")
