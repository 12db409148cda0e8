"""Calls that were accepted without a place in the queue: the next life gives one to those that have not ended."""

from collections.abc import Iterable

from tests.contract.store.conftest import Stores
from tests.contract.store.making import LIFE, accept, complete, pending
from yurt.domain.changes import AcceptCall, Ready, Save
from yurt.domain.records import Map, Placed, Target, Timer, TimerKind
from yurt.ports import Store


def unplaced(number: int, **more: object) -> AcceptCall:
    return AcceptCall(*accept(number, **more))  # type: ignore[arg-type]


async def waiting(store: Store) -> list[tuple[int, str]]:
    return [(row.call.seq - LIFE, row.call.target.queue if row.call.target else "") for row in await pending(store)]


async def mark(store: Store) -> int:
    found = await store.records.get(Placed, 1)
    assert found is not None
    return found.before - LIFE


async def again(stores: Stores, store: Store) -> Store:
    await store.close()
    return await stores.open()


async def write(store: Store, changes: Iterable[AcceptCall]) -> None:
    await store.journal.write(*changes)


async def test_a_call_without_a_place_has_one_in_the_next_life(stores: Stores) -> None:
    store = await stores.open()
    await write(store, [unplaced(1), unplaced(2, priority=3, caller="tk-2"), unplaced(3)])
    await store.journal.write(complete(accept(1), queue=""))
    assert await waiting(store) == []

    store = await again(stores, store)

    assert await waiting(store) == [(3, ""), (2, "")]
    (urgent,) = [where for where in await store.maps.ranges() if where.caller == "tk-2"]
    assert (urgent.queue, urgent.rank) == ("fu-1", -3)
    assert await mark(store) == 4
    assert await waiting(await again(stores, store)) == [(3, ""), (2, "")]


async def test_it_ends_with_its_place_or_without(stores: Stores) -> None:
    store = await stores.open()
    await write(store, [unplaced(1), unplaced(2)])
    await store.journal.write(Ready(LIFE + 1, "fu-1", "tk-1", 0))
    assert await waiting(store) == [(1, "")]
    await store.journal.write(complete(accept(1)), complete(accept(2), queue=""))
    assert await waiting(store) == []
    assert await waiting(await again(stores, store)) == []


async def test_what_waits_elsewhere_gets_none(stores: Stores) -> None:
    store = await stores.open()
    await write(store, [unplaced(1), unplaced(2, kind="map"), unplaced(3)])
    await store.journal.write(
        Save(Timer(LIFE + 1, TimerKind.START, 99.0)),
        Save(Map(LIFE + 2, return_exceptions=True)),
        Save(Timer(LIFE + 3, TimerKind.EXPIRE, 99.0)),
    )
    assert await waiting(await again(stores, store)) == [(3, "")]


async def test_a_call_of_a_class_gets_it_in_its_own_queue(stores: Stores) -> None:
    store = await stores.open()
    await store.journal.write(unplaced(1), Save(Target(LIFE + 1, "fu-1.abc", "run", "{}")))
    assert await waiting(await again(stores, store)) == [(1, "fu-1.abc")]


async def test_calls_before_the_mark_are_not_looked_at(stores: Stores) -> None:
    store = await stores.open()
    await write(store, map(unplaced, range(1, 6)))
    await store.journal.write(Save(Placed(1, LIFE + 4)))
    assert await waiting(await again(stores, store)) == [(4, ""), (5, "")]
