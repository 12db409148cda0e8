"""What writes each kind of change: a part is an array of rows and the statements that take from it.

A group is one statement: a common table expression `own` that checks the epoch and keeps it from changing, and the
parts, which write nothing unless `own` has its row. One statement is one round trip, and one transaction. A new kind of
change is an entry in `PARTS`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from yurt.domain.changes import (
    Accept,
    AcceptCall,
    AcceptInputs,
    Complete,
    Expire,
    HoldBack,
    Insert,
    Ready,
    Remove,
    Save,
)
from yurt.outbound.store.shapes import shape_of
from yurt.outbound.store.tables import (
    TABLES,
    attempts,
    callbacks,
    calls,
    inputs,
    items,
    maps,
    redrives,
    results,
    targets,
    ticks,
)

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """How one kind of change is written.

    Args:
        name: of the rows, in SQL.
        columns: their columns, each with its type.
        writes: statements that take from the rows; `{once}` becomes `ON CONFLICT DO NOTHING` when they are replayed.
        rows: a change as rows.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    writes: tuple[str, ...]
    rows: Callable[[Any], Rows]


def _type(column: sa.Column[Any]) -> str:
    kind = column.type
    if isinstance(kind, sa.Text):
        return "text"
    if isinstance(kind, sa.LargeBinary):
        return "bytea"
    if isinstance(kind, sa.BigInteger):
        return "bigint"
    return "int" if isinstance(kind, sa.Integer) else "double precision"


def _typed(columns: Iterable[sa.Column[Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, _type(column)) for column in columns)


def plain(value: Any) -> Any:
    """A value of a record as PostgreSQL takes it: its text has no NUL, and its numbers are to compare equal.

    Raises:
        ValueError: it is not a number.
    """
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\N{SYMBOL FOR NULL}")
    if isinstance(value, bool):
        return int(value)
    if value != value:  # noqa: PLR0124  # only NaN is not equal to itself
        raise ValueError("not a number")
    return value


def _one(change: Any) -> Rows:
    return (change,)


def _saved(change: Save | Insert) -> Rows:
    return (tuple(map(plain, shape_of(type(change.record)).values(change.record))),)


def _removed(change: Remove) -> Rows:
    return (tuple(map(plain, change.key)),)


def _save(table: sa.Table) -> Part:
    key = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    rest = [column.name for column in table.columns if not column.primary_key]
    change = "UPDATE SET " + ", ".join(f'"{name}" = excluded."{name}"' for name in rest) if rest else "NOTHING"
    name = f"save_{table.name}"
    return Part(
        name,
        _typed(table.columns),
        (f"INSERT INTO {table.name} SELECT * FROM {name} ON CONFLICT ({key}) DO {change}",),
        _saved,
    )


def _insert(table: sa.Table) -> Part:
    name = f"insert_{table.name}"
    return Part(name, _typed(table.columns), (f"INSERT INTO {table.name} SELECT * FROM {name} {{once}}",), _saved)


def _remove(table: sa.Table) -> Part:
    name = f"remove_{table.name}"
    same = " AND ".join(f't."{column.name}" = r."{column.name}"' for column in table.primary_key.columns)
    return Part(
        name,
        _typed(table.primary_key.columns),
        (f"DELETE FROM {table.name} t USING {name} r WHERE {same}",),
        _removed,
    )


_RESULT = ", ".join(f'"{column.name}"' for column in results.columns)

ACCEPT = Part(
    "accepted",
    _typed(calls.columns),
    (
        "INSERT INTO calls SELECT * FROM accepted {once}",
        "INSERT INTO pending SELECT function_id, caller, -priority, seq FROM accepted {once}",
    ),
    _one,
)
ACCEPT_CALL = Part("mapped", _typed(calls.columns), ("INSERT INTO calls SELECT * FROM mapped {once}",), _one)
ACCEPT_INPUTS = Part(
    "map_inputs",
    _typed(inputs.columns),
    ("INSERT INTO inputs SELECT * FROM map_inputs {once}",),
    lambda change: change.rows,
)
_HELD: tuple[tuple[str, str], ...] = (
    ("seq", "bigint"),
    ("queue", "text"),
    ("caller", "text"),
    ("priority", "bigint"),
)
READY = Part(
    "ready",
    _HELD,
    ("INSERT INTO pending SELECT queue, caller, -priority, seq FROM ready ON CONFLICT DO NOTHING",),
    _one,
)
HOLD_BACK = Part(
    "held_back",
    _HELD,
    (
        (
            "DELETE FROM pending p USING held_back h WHERE p.queue = h.queue AND p.caller = h.caller"
            " AND p.rank = -h.priority AND p.seq = h.seq"
        ),
    ),
    _one,
)
_ENDED = (*_HELD, *_typed(results.columns)[1:])
COMPLETE = Part(
    "ended",
    _ENDED,
    (
        (
            "DELETE FROM pending p USING ended e WHERE p.queue = e.queue AND p.caller = e.caller"
            " AND p.rank = -e.priority AND p.seq = e.seq"
        ),
        f"INSERT INTO results SELECT {_RESULT} FROM ended ON CONFLICT DO NOTHING",
    ),
    _one,
)
COMPLETE_UNPLACED = Part(
    "ended_unplaced",
    _ENDED,
    (f"INSERT INTO results SELECT {_RESULT} FROM ended_unplaced ON CONFLICT DO NOTHING",),
    _one,
)
"""Of an input without a row in `pending`."""
TRACKED = Part(
    "tracked",
    (("seq", "bigint"), ("finished_at", "double precision")),
    (
        "DELETE FROM claims c USING tracked t WHERE c.seq = t.seq",
        "DELETE FROM progress p USING tracked t WHERE p.seq = t.seq",
        (
            "UPDATE callbacks c SET ended_at = t.finished_at, due_at = t.finished_at FROM tracked t"
            " WHERE c.seq = t.seq AND c.ended_at IS NULL"
        ),
    ),
    lambda change: ((change.seq, change.finished_at),),
)
"""What the end of an input does besides, where there is more of it than its pending row."""
EXPIRE = Part(
    "expired",
    (("seq", "bigint"),),
    tuple(
        f"DELETE FROM {table.name} t USING expired e WHERE t.seq = e.seq"
        for table in (calls, results, attempts, callbacks, redrives, targets, ticks, inputs, items, maps)
    ),
    lambda change: tuple((seq,) for seq in change.seqs),
)

SAVES = {kind: _save(table) for kind, table in TABLES.items()}
INSERTS = {kind: _insert(table) for kind, table in TABLES.items()}
REMOVES = {kind: _remove(table) for kind, table in TABLES.items()}
PARTS: dict[type, Callable[[Any], Part]] = {
    Accept: lambda _: ACCEPT,
    AcceptCall: lambda _: ACCEPT_CALL,
    AcceptInputs: lambda _: ACCEPT_INPUTS,
    Ready: lambda _: READY,
    HoldBack: lambda _: HOLD_BACK,
    Complete: lambda change: COMPLETE if change.queue else COMPLETE_UNPLACED,
    Save: lambda change: SAVES[type(change.record)],
    Insert: lambda change: INSERTS[type(change.record)],
    Remove: lambda change: REMOVES[change.kind],
    Expire: lambda _: EXPIRE,
}

_OWN = "own AS (SELECT 1 FROM meta WHERE epoch = $1 FOR KEY SHARE)"


@cache
def statement(parts: tuple[Part, ...], *, again: bool) -> str:
    """The statement that writes a group made of these parts; its result is the number of rows in `own`.

    Args:
        again: the group may have been committed already.
    """
    tables = [_OWN]
    number = 2
    for part in parts:
        arrays = ", ".join(f"${number + place}::{kind}[]" for place, (_, kind) in enumerate(part.columns))
        names = ", ".join(f'"{name}"' for name, _ in part.columns)
        tables.append(f"{part.name} AS (SELECT u.* FROM own, unnest({arrays}) AS u({names}))")
        number += len(part.columns)
        for place, write in enumerate(part.writes):
            done = write.format(once="ON CONFLICT DO NOTHING" if again else "")
            tables.append(f"{part.name}_{place} AS ({done})")
    return f"WITH {', '.join(tables)} SELECT count(*) FROM own"
