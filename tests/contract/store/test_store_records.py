"""The promises of `yurt.ports.Records`, for every record class."""

import asyncio
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings

from tests.contract.store.making import any_record, app, function
from yurt.domain.changes import Record, Remove, Save
from yurt.domain.errors import AlreadyExists
from yurt.domain.records import (
    App,
    AttemptRecord,
    Block,
    Bundle,
    Callback,
    CallbackSecret,
    Claim,
    Container,
    Environment,
    Function,
    IdempotencyKey,
    ItemBlock,
    Label,
    Map,
    Placed,
    Progress,
    Redrive,
    Revision,
    Schedule,
    ScheduleMark,
    Secret,
    Target,
    Tick,
    Timer,
    Token,
)
from yurt.ports import Store

KEYS: dict[type[Record], tuple[str, ...]] = {
    Environment: ("name",),
    App: ("id",),
    Function: ("id",),
    Label: ("label",),
    Revision: ("function_id", "number"),
    Token: ("id",),
    Bundle: ("environment", "sha256"),
    Container: ("id",),
    AttemptRecord: ("seq", "number"),
    Progress: ("seq",),
    Claim: ("seq",),
    IdempotencyKey: ("token_id", "function_id", "key"),
    Callback: ("seq",),
    CallbackSecret: ("environment", "number"),
    Secret: ("id",),
    Map: ("seq",),
    Block: ("call_seq", "first_idx"),
    ItemBlock: ("seq", "first"),
    Timer: ("seq", "kind"),
    Placed: ("one",),
    Redrive: ("seq",),
    Target: ("seq",),
    Schedule: ("id",),
    ScheduleMark: ("schedule_id",),
    Tick: ("schedule_id", "due_at", "manual"),
}

rounds = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def key_of(record: Record) -> tuple[str | int, ...]:
    return tuple(getattr(record, name) for name in KEYS[type(record)])


def test_every_record_class_is_held_to_this() -> None:
    assert set(KEYS) == set(get_args(Record))


@pytest.mark.parametrize("kind", KEYS, ids=lambda kind: kind.__name__)
async def test_a_record_comes_back_as_it_was_written(store: Store, kind: type[Record]) -> None:
    loop = asyncio.get_running_loop()

    async def there_and_back(first: Record, second: Record) -> None:
        same_key: dict[str, Any] = dict(zip(KEYS[kind], key_of(first), strict=True))
        second = replace(second, **same_key)
        for record in (first, second):  # made, then replaced as a whole
            await store.journal.write(Save(record))
            found = await store.records.get(kind, *key_of(first))
            assert found == record
            assert [type(value) for value in _values(found)] == [type(value) for value in _values(record)]
        await store.journal.write(Remove(kind, key_of(first)))
        assert await store.records.get(kind, *key_of(first)) is None

    @rounds
    @given(first=any_record(kind), second=any_record(kind))
    def check(first: Record, second: Record) -> None:
        asyncio.run_coroutine_threadsafe(there_and_back(first, second), loop).result(10)

    await asyncio.to_thread(check)


def _values(record: Record | None) -> list[object]:
    return [getattr(record, name) for name in record.__dataclass_fields__] if record is not None else []


async def test_what_is_not_there_is_none(store: Store) -> None:
    assert await store.records.get(App, "ap-1") is None
    assert await store.records.find(Token, {}) == []
    await store.journal.write(Remove(App, ("ap-1",)))


async def test_find_compares_fields_and_asks_whether_they_are_set(store: Store) -> None:
    live, stopped, other = app("ap-1"), app("ap-2", stopped_at=4.0), app("ap-3", environment="staging")
    await store.journal.write(*map(Save, (live, stopped, other)))
    find = store.records.find
    assert await find(App, {}) == [other, stopped, live]
    assert await find(App, {"environment": "main"}) == [stopped, live]
    assert await find(App, {"environment": "main", "stopped_at": None}) == [live]
    assert await find(App, {"stopped_at__set": 1}) == [stopped]
    assert await find(App, {"stopped_at__set": 0, "environment": "main"}) == [live]
    assert await find(App, {"stopped_at": 4.0}) == [stopped]
    assert await find(App, {"name": "other"}) == []


async def test_find_compares_flags(store: Store) -> None:
    def container(id_: str, *, fenced: bool) -> Container:
        return Container(id_, "fu-1", 1, "local", "ready", 1.0, "00", fenced=fenced)

    free, fenced = container("co-1", fenced=False), container("co-2", fenced=True)
    await store.journal.write(Save(free), Save(fenced))
    assert await store.records.find(Container, {"fenced": True}) == [fenced]
    assert await store.records.find(Container, {"fenced": False, "function_id": "fu-1"}) == [free]


async def test_pages_follow_each_other_without_a_gap(store: Store) -> None:
    revisions = [
        Revision(function_id, number, "{}", None, 1.0, "tk-1")
        for function_id in ("fu-1", "fu-2")
        for number in (1, 2, 3)
    ]
    await store.journal.write(*map(Save, revisions))
    found: list[Revision] = []
    while page := await store.records.find(
        Revision, {}, before=(found[-1].function_id, found[-1].number) if found else None, limit=2
    ):
        assert len(page) == 2
        found += page
    assert found == revisions[::-1]


async def test_a_page_below_a_cursor_that_is_gone(store: Store) -> None:
    await store.journal.write(*(Save(function(f"fu-{number}", f"f{number}")) for number in (1, 3)))
    assert [found.id for found in await store.records.find(Function, {"app_id": "ap-1"}, before=("fu-2",))] == ["fu-1"]


async def test_an_unknown_field_is_a_mistake(store: Store) -> None:
    with pytest.raises(KeyError):
        await store.records.find(App, {"colour": "red"})


async def test_one_secret_of_an_environment_bears_a_name(store: Store) -> None:
    def secret(id_: str, environment: str) -> Secret:
        return Secret(id_, environment, "openai", "[]", "0", b"\0\xff", 1.0, 1.0)

    await store.journal.write(Save(secret("st-1", "main")), Save(secret("st-2", "staging")))
    with pytest.raises(AlreadyExists):
        await store.journal.write(Save(secret("st-3", "main")))
    assert await store.records.find(Secret, {"environment": "main", "name": "openai"}) == [secret("st-1", "main")]
