"""Changes and records for tests: valid ones by hand, and any at all for property tests."""

from dataclasses import fields, replace
from types import NoneType
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from yurt.domain.changes import Accept, Complete, Record
from yurt.domain.records import App, Function, Outcome
from yurt.ports import PendingInput, Store

LIFE = 1 << 32
"""The first sequence number of a made-up life."""


def accept(number: int, *, function_id: str = "fu-1", caller: str = "tk-1", priority: int = 0, **more: Any) -> Accept:
    plain: dict[str, Any] = {
        "app_id": "ap-1",
        "kind": "spawn",
        "created_at": 1.0,
        "metadata_json": None,
        "args": b"[]",
        "args_blob": None,
    }
    return Accept(LIFE + number, function_id, caller=caller, priority=priority, **(plain | more))


def complete(accepted: Accept, *, outcome: str = Outcome.SUCCESS, value: bytes | None = b"1", **more: Any) -> Complete:
    plain: dict[str, Any] = {
        "started_at": 2.0,
        "finished_at": 3.0,
        "attempts": 1,
        "revision": 1,
        "container_id": "co-1",
        "value_blob": None,
        "error_json": None if outcome == Outcome.SUCCESS else b"{}",
    }
    return Complete(
        accepted.seq,
        more.pop("queue", accepted.function_id),
        accepted.caller,
        accepted.priority,
        outcome=outcome,
        value=value if outcome == Outcome.SUCCESS else None,
        **(plain | more),
    )


async def pending(store: Store, page: int = 10_000) -> list[PendingInput]:
    """All pending calls of one input, stream by stream, read in pages."""
    found: list[PendingInput] = []
    for where in sorted(await store.maps.ranges(), key=lambda one: (one.queue, one.caller, one.rank)):
        rest = where
        while rows := await store.maps.waiting(rest, limit=page):
            found += rows
            rest = replace(rest, first=rows[-1].seq + 1)
    return found


def app(id_: str, name: str = "thumbs", *, environment: str = "main", stopped_at: float | None = None) -> App:
    return App(id_, environment, name, "{}", created_at=1.0, created_by="tk-1", stopped_at=stopped_at)


def function(id_: str, name: str = "resize", *, app_id: str = "ap-1", deleted_at: float | None = None) -> Function:
    return Function(id_, app_id, name, 1, created_at=1.0, updated_at=1.0, deleted_at=deleted_at)


INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
"""Without NUL, which PostgreSQL has no place for: what people see of an error has its symbol there instead."""
_VALUES: dict[type, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: INTEGERS,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
}


def any_record(kind: type[Record]) -> st.SearchStrategy[Record]:
    """Any record of a class that its field types allow."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{item.name: _any_value(hints[item.name]) for item in fields(kind)})


def _any_value(hint: Any) -> st.SearchStrategy[Any]:
    types = set(get_args(hint) or (hint,))
    (plain,) = types - {NoneType}
    return st.none() | _VALUES[plain] if NoneType in types else _VALUES[plain]
