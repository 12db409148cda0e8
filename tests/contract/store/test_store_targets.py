"""Calls of classes in the store: what they are for, and queues of their own."""

from dataclasses import replace

from tests.contract.store.making import LIFE, accept, complete, pending
from yurt.domain.changes import AcceptCall, Complete, Expire, HoldBack, Ready, Remove, Save
from yurt.domain.records import Block, Map, Redrive, Target, Timer, TimerKind
from yurt.ports import CallFilter, Failed, HeldBack, PendingRange, Store

QUEUE = "fu-1.abc"
PARAMETERS = '{"model":"large"}'


def target(number: int, *, queue: str = QUEUE, parameters: str | None = PARAMETERS) -> Target:
    return Target(LIFE + number, queue, "run", parameters)


def call(number: int) -> AcceptCall:
    return AcceptCall(*accept(number))


async def begin(store: Store, number: int) -> Target:
    """Accept a call of a class, as the ledger does."""
    wanted = target(number)
    await store.journal.write(call(number), Save(wanted), Ready(LIFE + number, QUEUE, "tk-1", 0))
    return wanted


async def test_a_call_tells_what_it_is_for_wherever_it_is_read(store: Store) -> None:
    wanted = await begin(store, 1)
    await store.journal.write(accept(2))
    found = await store.calls.get(LIFE + 1)
    assert found is not None
    assert found.call.target == wanted
    listed = await store.calls.find(CallFilter(function_id="fu-1"), before=None, limit=10, values=False)
    assert [row.call.target for row in listed] == [None, wanted]
    assert [row.call.target for row in await store.maps.pending([LIFE + 1, LIFE + 2])] == [wanted, None]


def end(number: int) -> Complete:
    """The end of a call of a class."""
    return complete(accept(number), queue=QUEUE)


async def test_it_waits_in_its_own_queue_until_it_ends(store: Store) -> None:
    wanted = await begin(store, 1)
    await store.journal.write(accept(2))
    mine = PendingRange(QUEUE, "tk-1", 0, LIFE + 1, LIFE + 1, 1)
    other = PendingRange("fu-1", "tk-1", 0, LIFE + 2, LIFE + 2, 1)
    assert sorted(await store.maps.ranges(), key=lambda one: one.queue) == [other, mine]
    assert [row.call.target for row in await store.maps.waiting(mine, limit=10)] == [wanted]
    assert await store.calls.has_open("fu-1", QUEUE, "tk-1")
    await store.journal.write(end(1))
    assert await store.maps.ranges() == [other]
    assert not await store.calls.has_open("fu-1", QUEUE, "tk-1")


async def test_it_is_accepted_and_ended_in_one_group(store: Store) -> None:
    store.journal.add((call(1), Save(target(1)), Ready(LIFE + 1, QUEUE, "tk-1", 0)))
    store.journal.add((end(1),))
    await store.journal.flush()
    assert await store.maps.ranges() == []


async def test_what_is_held_back_is_counted_by_queue(store: Store) -> None:
    start = Timer(LIFE + 1, TimerKind.START, 9.0)
    await store.journal.write(call(1), Save(target(1)), Save(start))
    await store.journal.write(call(2), Save(replace(start, seq=LIFE + 2)))
    counted = sorted(await store.maps.count_held_back(), key=lambda one: one.queue)
    assert counted == [HeldBack("fu-1", "fu-1", None, 1), HeldBack(QUEUE, "fu-1", PARAMETERS, 1)]
    assert [row.seq for row in await store.maps.held_back(QUEUE, after=0, limit=10)] == [LIFE + 1]
    assert [row.seq for row in await store.maps.held_back("fu-1", after=0, limit=10)] == [LIFE + 2]
    await store.journal.write(Remove(Timer, (LIFE + 1, TimerKind.START)), Ready(LIFE + 1, QUEUE, "tk-1", 0))
    assert [one.queue for one in await store.maps.ranges()] == [QUEUE]
    await store.journal.write(HoldBack(LIFE + 1, QUEUE, "tk-1", 0), Save(start))
    assert await store.maps.ranges() == []


async def test_an_open_map_tells_it(store: Store) -> None:
    mapped = AcceptCall(LIFE + 9, "fu-1", "ap-1", "map", "tk-1", 0, 1.0, None)
    block = Block(mapped.seq, 0, LIFE + 10, 1)
    await store.journal.write(mapped, Save(Map(mapped.seq, False)), Save(target(9)), Save(block))
    (opened,) = await store.maps.opened()
    assert opened.call.target == target(9)


async def test_what_failed_is_found_with_it(store: Store) -> None:
    await begin(store, 1)
    await store.journal.write(end(1)._replace(outcome="timeout", value=None, error_json=b"{}"))
    wanted = Failed("fu-1", ("timeout",), 0.0)
    rows, _ = await store.redrives.calls(wanted, after=0, until=LIFE + 1, limit_bytes=1000)
    assert [row.target for row in rows] == [target(1)]
    await store.journal.write(Save(Redrive(LIFE + 2, LIFE + 1)))
    assert (await store.redrives.calls(wanted, after=0, until=LIFE + 1, limit_bytes=1000))[0] == []


async def test_it_goes_with_its_call(store: Store) -> None:
    await begin(store, 1)
    await store.journal.write(end(1))
    await store.journal.write(Expire((LIFE + 1,)))
    assert await store.records.find(Target, {}) == []
    assert await pending(store) == []
