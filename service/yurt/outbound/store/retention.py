"""`yurt.ports.Retention`: what there is to delete, a page at a time."""

from collections.abc import Sequence

import sqlalchemy as sa

from yurt.domain.records import CallKind
from yurt.domain.retention import OldCall
from yurt.outbound.store.readers import Rows
from yurt.outbound.store.shapes import compile_query
from yurt.outbound.store.tables import bundles, callbacks, calls, inputs, items, keys, results, revisions
from yurt.ports import OldKey

_SIZE = sa.func.coalesce(sa.func.length(calls.c.args), 0) + sa.func.coalesce(sa.func.length(results.c.value), 0)
_CALLS = compile_query(
    sa.select(
        calls.c.seq,
        calls.c.created_at,
        results.c.finished_at,
        callbacks.c.due_at,
        _SIZE,
        calls.c.kind,
        results.c["items"],
    )
    .select_from(
        calls.outerjoin(results, results.c.seq == calls.c.seq).outerjoin(callbacks, callbacks.c.seq == calls.c.seq)
    )
    .where(calls.c.seq > sa.bindparam("after"))
    .order_by(calls.c.seq)
    .limit(sa.bindparam("limit_rows"))
)

_KEY = tuple(keys.primary_key.columns)
_CALL_KEPT = sa.exists(sa.select(sa.literal_column("1")).where(calls.c.seq == keys.c.seq))
_KEYS = compile_query(
    sa.select(*_KEY, sa.and_(keys.c.expires_at <= sa.bindparam("now"), ~_CALL_KEPT))
    .where(sa.tuple_(*_KEY) > sa.tuple_(*(sa.bindparam(column.name) for column in _KEY)))
    .order_by(*_KEY)
    .limit(sa.bindparam("limit_rows"))
)

BLOBS = (
    calls.c.args_blob,
    inputs.c.args_blob,
    items.c.blob,
    results.c.value_blob,
    revisions.c.bundle,
    bundles.c.sha256,
)
"""Every column that names a blob."""


class SqliteRetention:
    """`yurt.ports.Retention` over the same readers as the records."""

    def __init__(self, readers: Rows) -> None:
        self._readers = readers

    async def calls(self, *, after: int, limit: int) -> list[OldCall]:
        """Calls by number upwards, from behind `after` on."""
        rows = await self._readers.rows(_CALLS.sql, _CALLS.bind(after=after, limit_rows=limit))
        return [
            OldCall(seq, created, ended, due is not None, size, kind == CallKind.MAP, bool(count))
            for seq, created, ended, due, size, kind, count in rows
        ]

    async def keys(self, now: float, *, after: tuple[str, str, str], limit: int) -> list[OldKey]:
        """Idempotency keys by their own order, from behind `after` on."""
        names = (column.name for column in _KEY)
        values = dict(zip(names, after, strict=True))
        rows = await self._readers.rows(_KEYS.sql, _KEYS.bind(now=now, limit_rows=limit, **values))
        return [OldKey((token_id, function_id, key), bool(over)) for token_id, function_id, key, over in rows]

    async def known_blobs(self, names: Sequence[str]) -> set[str]:
        """Those of `names` that a row knows."""
        if not names:
            return set()
        query = compile_query(sa.union(*(sa.select(column).where(column.in_(names)) for column in BLOBS)))
        return {name for (name,) in await self._readers.rows(query.sql, query.bind())}
