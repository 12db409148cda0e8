"""A tick is unique in the store: with the call that it makes, or not at all."""

import pytest

from tests.contract.store.conftest import Stores
from tests.contract.store.making import LIFE, accept, complete
from yurt.domain.changes import Expire, HoldBack, Insert, Remove, Save
from yurt.domain.errors import AlreadyExists
from yurt.domain.records import ScheduleMark, Tick, Timer, TimerKind
from yurt.ports import CallFilter, Store

_ALL = CallFilter()


def tick(number: int, due_at: float = 60.0, *, manual: bool = False) -> Insert:
    return Insert(Tick("sc-1", due_at, manual, LIFE + number))


async def test_a_tick_and_its_call_are_written_together(store: Store) -> None:
    await store.journal.write(tick(1), Save(ScheduleMark("sc-1", 60.0, LIFE + 1)), accept(1))
    assert await store.records.find(Tick, {}) == [tick(1).record]
    assert await store.calls.get(LIFE + 1) is not None


async def test_a_second_call_for_a_tick_is_refused_with_all_that_comes_with_it(store: Store) -> None:
    await store.journal.write(tick(1), accept(1))
    with pytest.raises(AlreadyExists):
        await store.journal.write(tick(2), Save(ScheduleMark("sc-1", 60.0, LIFE + 2)), accept(2))
    assert await store.calls.get(LIFE + 2) is None
    assert await store.records.find(ScheduleMark, {}) == []
    assert await store.records.find(Tick, {}) == [tick(1).record]


async def test_of_two_in_one_group_the_first_is_taken_and_others_are_not_touched(store: Store) -> None:
    ended: list[tuple[int, str]] = []

    def done(number: int, error: Exception | None) -> None:
        ended.append((number, type(error).__name__))

    store.journal.add((tick(1), accept(1)), lambda error: done(1, error))
    store.journal.add((tick(2), accept(2)), lambda error: done(2, error))
    store.journal.add((tick(3, 120.0), accept(3)), lambda error: done(3, error))
    await store.journal.flush()
    assert sorted(ended) == [(1, "NoneType"), (2, "AlreadyExists"), (3, "NoneType")]
    assert [call.call.seq for call in await store.calls.find(_ALL, before=None, limit=9, values=False)] == [
        LIFE + 3,
        LIFE + 1,
    ]


async def test_a_tick_stays_unique_when_the_store_is_opened_again(stores: Stores) -> None:
    store = await stores.open()
    await store.journal.write(tick(1), accept(1))
    await store.close()
    store = await stores.open()
    with pytest.raises(AlreadyExists):
        await store.journal.write(tick(2), accept(2))


async def test_what_somebody_asks_for_takes_no_tick_away(store: Store) -> None:
    await store.journal.write(tick(1, manual=True), accept(1))
    await store.journal.write(tick(2), accept(2))
    assert len(await store.records.find(Tick, {"schedule_id": "sc-1"})) == 2


async def test_a_tick_goes_with_its_call(store: Store) -> None:
    await store.journal.write(tick(1), tick(2, 120.0))
    await store.journal.write(Expire((LIFE + 1,)))
    assert await store.records.find(Tick, {}) == [tick(2, 120.0).record]


async def test_a_caller_has_an_open_call_until_it_ends(store: Store) -> None:
    call = accept(1, caller="ap-1")
    assert not await store.calls.has_open("fu-1", "fu-1", "ap-1")
    await store.journal.write(call)
    assert await store.calls.has_open("fu-1", "fu-1", "ap-1")
    assert not await store.calls.has_open("fu-1", "fu-1", "ap-2")
    assert not await store.calls.has_open("fu-2", "fu-2", "ap-1")
    await store.journal.write(complete(call))
    assert not await store.calls.has_open("fu-1", "fu-1", "ap-1")


async def test_a_call_that_is_held_back_is_open(store: Store) -> None:
    call = accept(1, caller="ap-1")
    await store.journal.write(call)
    await store.journal.write(Save(Timer(call.seq, TimerKind.START, 9.0)), HoldBack(call.seq, "fu-1", "ap-1", 0))
    assert await store.calls.has_open("fu-1", "fu-1", "ap-1")
    assert not await store.calls.has_open("fu-1", "fu-1", "ap-2")
    assert not await store.calls.has_open("fu-2", "fu-2", "ap-1")
    await store.journal.write(complete(call), Remove(Timer, (call.seq, TimerKind.START)))
    assert not await store.calls.has_open("fu-1", "fu-1", "ap-1")
