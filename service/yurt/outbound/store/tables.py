"""The tables, derived from the record classes: one class is one table, one field one column.

The migrations under `migrations/versions` spell the same tables out; a test holds the two together. Names of types are
chosen so that the same metadata serves PostgreSQL.
"""

from dataclasses import fields
from types import NoneType
from typing import Any, get_args, get_type_hints

import sqlalchemy as sa

from yurt.domain import records

METADATA = sa.MetaData()

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64 bits everywhere; SQLite has no other, and makes a primary key of that very name the row's own number."""
REAL: sa.types.TypeEngine[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary()

_TYPES: dict[type, sa.types.TypeEngine[Any]] = {
    str: TEXT,
    int: INTEGER,
    float: REAL,
    bool: sa.Integer(),  # strict tables have no boolean; rows are turned back by the field's type
    bytes: BYTES,
}


def _columns(record: type, key: tuple[str, ...]) -> list[sa.Column[Any]]:
    hints = get_type_hints(record)
    columns = []
    for item in fields(record):
        types = set(get_args(hints[item.name]) or (hints[item.name],))
        (plain,) = types - {NoneType}
        is_key = item.name in key
        columns.append(_column(item.name, _TYPES[plain], key=is_key, null=NoneType in types))
    return columns


def _column(name: str, kind: sa.types.TypeEngine[Any], *, key: bool = False, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=key, nullable=null, autoincrement=False)


def _table(name: str, *parts: sa.Column[Any] | sa.Index, rowid: bool) -> sa.Table:
    return sa.Table(name, METADATA, *parts, sqlite_strict=True, sqlite_with_rowid=rowid)


def _of(record: type, name: str, key: tuple[str, ...], *, rowid: bool = False) -> sa.Table:
    return _table(name, *_columns(record, key), rowid=rowid)


def _live_name(table: sa.Table, *columns: str, live: str) -> None:
    """One of the rows in which `live` is not set bears a name."""
    alive = table.c[live].is_(None)
    name = f"{table.name}_live_name"
    sa.Index(name, *(table.c[column] for column in columns), unique=True, sqlite_where=alive, postgresql_where=alive)


def _only_set(name: str, column: sa.Column[Any]) -> None:
    """An index of the rows in which `column` is set; the others pay nothing for it."""
    there = column.is_not(None)
    sa.Index(name, column, sqlite_where=there, postgresql_where=there)


environments = _of(records.Environment, "environments", ("name",))
apps = _of(records.App, "apps", ("id",))
functions = _of(records.Function, "functions", ("id",))
labels = _of(records.Label, "labels", ("label",))
revisions = _of(records.Revision, "revisions", ("function_id", "number"))
tokens = _of(records.Token, "tokens", ("id",))
bundles = _of(records.Bundle, "bundles", ("environment", "sha256"))
containers = _of(records.Container, "containers", ("id",))
attempts = _of(records.AttemptRecord, "attempts", ("seq", "number"))
progress = _of(records.Progress, "progress", ("seq",), rowid=True)
claims = _of(records.Claim, "claims", ("seq",), rowid=True)
keys = _of(records.IdempotencyKey, "keys", ("token_id", "function_id", "key"))

callbacks = _of(records.Callback, "callbacks", ("seq",), rowid=True)
callback_secrets = _of(records.CallbackSecret, "callback_secrets", ("environment", "number"))
secrets = _of(records.Secret, "secrets", ("id",))
maps = _of(records.Map, "maps", ("seq",), rowid=True)
redrives = _of(records.Redrive, "redrives", ("seq",), rowid=True)
targets = _of(records.Target, "targets", ("seq",), rowid=True)
timers = _of(records.Timer, "timers", ("seq", "kind"))
placed = _of(records.Placed, "placed", ("one",), rowid=True)
schedules = _of(records.Schedule, "schedules", ("id",))
schedule_marks = _of(records.ScheduleMark, "schedule_marks", ("schedule_id",))
ticks = _of(records.Tick, "ticks", ("schedule_id", "due_at", "manual"))
blocks = _of(records.Block, "blocks", ("call_seq", "first_idx"))
items = _of(records.ItemBlock, "items", ("seq", "first"), rowid=True)

_live_name(apps, "environment", "name", live="stopped_at")
_live_name(functions, "app_id", "name", live="deleted_at")
sa.Index("timers_due", timers.c.due_at, timers.c.seq, timers.c.kind)
sa.Index("containers_function", containers.c.function_id)
sa.Index("redrives_of", redrives.c.of_seq)
sa.Index("ticks_call", ticks.c.seq)
_only_set("callbacks_due", callbacks.c.due_at)
_only_set("items_blob", items.c.blob)
sa.Index("secrets_name", secrets.c.environment, secrets.c.name, unique=True)

calls = _table(
    "calls",
    _column("seq", INTEGER, key=True),
    _column("function_id", TEXT),
    _column("app_id", TEXT),
    _column("kind", TEXT),
    _column("caller", TEXT),
    _column("priority", INTEGER),
    _column("created_at", REAL),
    _column("metadata_json", TEXT, null=True),
    _column("args", BYTES, null=True),  # last, so that a listing does not read it
    _column("args_blob", TEXT, null=True),
    rowid=True,
)
"""Insert only. The columns are those of `Accept`, in its order."""
sa.Index("calls_function", calls.c.function_id, calls.c.seq)
_only_set("calls_blob", calls.c.args_blob)

inputs = _table(
    "inputs",
    _column("seq", INTEGER, key=True),
    _column("call_seq", INTEGER),
    _column("args", BYTES, null=True),
    _column("args_blob", TEXT, null=True),
    rowid=True,
)
"""Inputs of maps. Insert only. The columns are those of `MapInput`, in its order."""
_only_set("inputs_blob", inputs.c.args_blob)

pending = _table(
    "pending",
    _column("queue", TEXT, key=True),
    _column("caller", TEXT, key=True),
    _column("rank", INTEGER, key=True),  # the negative priority: a queue is read upwards, urgent first
    _column("seq", INTEGER, key=True),
    rowid=False,
)

results = _table(
    "results",
    _column("seq", INTEGER, key=True),
    _column("outcome", TEXT),
    _column("started_at", REAL, null=True),
    _column("finished_at", REAL),
    _column("attempts", INTEGER),
    _column("revision", INTEGER, null=True),
    _column("container_id", TEXT, null=True),
    _column("value", BYTES, null=True),
    _column("value_blob", TEXT, null=True),
    _column("error_json", BYTES, null=True),
    _column("items", INTEGER, null=True),
    rowid=True,
)
"""Insert only, and the first one stays. The columns are those of `Complete` from `outcome` on."""

_only_set("results_blob", results.c.value_blob)

meta = _table(
    "meta",
    _column("one", INTEGER, key=True),
    _column("installation", TEXT),
    _column("key", BYTES),
    _column("epoch", INTEGER),
    rowid=True,
)
"""One row: what `yurt.ports.Identity` says."""

TABLES: dict[type, sa.Table] = {
    records.Environment: environments,
    records.App: apps,
    records.Function: functions,
    records.Label: labels,
    records.Revision: revisions,
    records.Token: tokens,
    records.Bundle: bundles,
    records.Container: containers,
    records.AttemptRecord: attempts,
    records.Progress: progress,
    records.Claim: claims,
    records.IdempotencyKey: keys,
    records.Callback: callbacks,
    records.CallbackSecret: callback_secrets,
    records.Secret: secrets,
    records.Map: maps,
    records.Block: blocks,
    records.ItemBlock: items,
    records.Timer: timers,
    records.Placed: placed,
    records.Redrive: redrives,
    records.Target: targets,
    records.Schedule: schedules,
    records.ScheduleMark: schedule_marks,
    records.Tick: ticks,
}
