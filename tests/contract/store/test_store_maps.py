"""Maps, and what waits, as every store reads them."""

from tests.contract.store.making import LIFE, accept, complete
from yurt.domain.changes import AcceptCall, AcceptInputs, Complete, HoldBack, MapInput, Ready, Record, Remove, Save
from yurt.domain.records import Block, Claim, Map, Outcome, Payload, Progress, Timer, TimerKind
from yurt.ports import HeldBack, PendingRange, Store

CALL = AcceptCall(100, "fu-1", "ap-1", "map", "tk-1", 0, 1.0, None)


def rows(first: int, count: int) -> AcceptInputs:
    return AcceptInputs(tuple(MapInput(first + n, 100, b'{"args":[%d]}' % n, None) for n in range(count)))


def end(seq: int, outcome: Outcome = Outcome.SUCCESS) -> Complete:
    return Complete(seq, "", "", 0, outcome, None, 2.0, 1, 1, None, b"1" if outcome == "success" else None, None, None)


async def a_map(store: Store) -> None:
    """Two blocks of three, with an end of each kind in the first one."""
    await store.journal.write(CALL, Save(Map(100, True)), rows(201, 3), Save(Block(100, 0, 201, 3)))
    await store.journal.write(rows(301, 3), Save(Block(100, 3, 301, 3)))
    await store.journal.write(end(201), end(202, Outcome.USER_ERROR))
    await store.journal.write(end(203, Outcome.CANCELLED))


async def test_a_map_has_its_blocks_in_order(store: Store) -> None:
    await a_map(store)
    assert await store.maps.get(100) == (Map(100, True), [Block(100, 0, 201, 3), Block(100, 3, 301, 3)])
    assert await store.maps.get(101) is None


async def test_an_open_map_says_how_many_of_its_inputs_ended_and_how(store: Store) -> None:
    await a_map(store)
    (found,) = await store.maps.opened()
    assert (found.call.seq, found.call.kind, found.map) == (100, "map", Map(100, True))
    assert found.blocks == [(Block(100, 0, 201, 3), 1, 1, 1), (Block(100, 3, 301, 3), 0, 0, 0)]


async def test_a_map_that_has_ended_is_not_open(store: Store) -> None:
    await a_map(store)
    await store.journal.write(end(100))
    assert await store.maps.opened() == []


async def test_inputs_without_a_result_are_read_with_what_is_known_of_their_attempts(store: Store) -> None:
    await a_map(store)
    progress, claim = Progress(302, 2, 0, 1, 9), Claim(303, "co-1", 9, 1.5)
    await store.journal.write(Save(progress), Save(claim))
    found = await store.maps.inputs(100, 201, 303, limit=10)
    assert [row.seq for row in found] == [301, 302, 303]
    assert found[0].args == b'{"args":[0]}'
    assert [row.progress for row in found] == [None, progress, None]
    assert [row.claim for row in found] == [None, None, claim]
    assert [row.seq for row in await store.maps.inputs(100, 201, 302, limit=1)] == [301]
    assert await store.maps.arguments(302) == Payload(b'{"args":[1]}')
    assert await store.maps.arguments(304) is None


async def test_results_are_read_by_range(store: Store) -> None:
    await a_map(store)
    assert [row.seq for row in await store.maps.results(201, 301, limit=10)] == [201, 202, 203]
    assert [row.seq for row in await store.maps.results(202, 301, limit=1)] == [202]


async def test_what_waits_is_told_by_range_without_reading_it(store: Store) -> None:
    await store.journal.write(accept(1), accept(2), accept(5, priority=3), accept(7, caller="tk-2"))
    await store.journal.write(complete(accept(2)))
    found = sorted(await store.maps.ranges(), key=lambda one: one.first)
    assert found == [
        PendingRange("fu-1", "tk-1", 0, LIFE + 1, LIFE + 1, 1),
        PendingRange("fu-1", "tk-1", -3, LIFE + 5, LIFE + 5, 1),
        PendingRange("fu-1", "tk-2", 0, LIFE + 7, LIFE + 7, 1),
    ]
    await store.journal.write(accept(8), accept(9))
    rest = PendingRange("fu-1", "tk-1", 0, LIFE + 2, LIFE + 9, 2)
    assert [row.call.seq - LIFE for row in await store.maps.waiting(rest, limit=10)] == [8, 9]
    assert [row.call.seq - LIFE for row in await store.maps.waiting(rest, limit=1)] == [8]


async def test_inputs_that_have_begun_are_found_by_number(store: Store) -> None:
    await store.journal.write(accept(1), accept(2), accept(3), accept(4), CALL, rows(201, 1))
    began: tuple[Record, ...] = (
        Claim(LIFE + 2, "co-1", 9, 1.5),
        Progress(LIFE + 3, 2, 0, 1, 9),
        Progress(201, 2, 0, 1, 9),
    )
    await store.journal.write(*(Save(record) for record in began))
    assert sorted(row.call.seq - LIFE for row in await store.maps.started()) == [2, 3]
    await store.journal.write(complete(accept(4)))
    wanted = [LIFE + 1, LIFE + 4, 201, LIFE + 999]
    assert [row.call.seq - LIFE for row in await store.maps.pending(wanted)] == [1]
    assert await store.maps.pending([]) == []


def later(number: int, **more: object) -> AcceptCall:
    return AcceptCall(*accept(number, **more))  # type: ignore[arg-type]


async def test_timers_are_read_in_the_order_in_which_they_are_due(store: Store) -> None:
    start, expire = TimerKind.START, TimerKind.EXPIRE
    timers = [Timer(3, start, 5.0), Timer(1, start, 7.0), Timer(2, expire, 5.0), Timer(2, start, 5.0)]
    await store.journal.write(*map(Save, timers))
    everything = await store.maps.timers((float("-inf"), 0, ""), limit=10)
    assert everything == [Timer(2, expire, 5.0), Timer(2, start, 5.0), Timer(3, start, 5.0), Timer(1, start, 7.0)]
    assert await store.maps.timers((5.0, 2, "expire"), limit=2) == everything[1:3]
    assert await store.maps.timers((7.0, 1, "start"), limit=2) == []


async def test_what_is_held_back_is_not_among_what_waits_until_it_is_ready(store: Store) -> None:
    start = Timer(LIFE + 1, TimerKind.START, 9.0)
    await store.journal.write(later(1), Save(start))
    await store.journal.write(accept(2))
    (waiting,) = await store.maps.ranges()
    assert (waiting.first, waiting.count) == (LIFE + 2, 1)
    (held,) = await store.maps.held_back("fu-1", after=0, limit=10)
    assert (held.seq, held.start_at, held.timed) == (LIFE + 1, 9.0, True)
    assert await store.maps.held_back("fu-1", after=LIFE + 1, limit=10) == []
    assert await store.maps.count_held_back() == [HeldBack("fu-1", "fu-1", None, 1)]
    assert [row.start_at for row in await store.maps.pending([LIFE + 1, LIFE + 2])] == [9.0, None]
    await store.journal.write(Remove(Timer, (LIFE + 1, TimerKind.START)), Ready(LIFE + 1, "fu-1", "tk-1", 0))
    (waiting,) = await store.maps.ranges()
    assert (waiting.first, waiting.count) == (LIFE + 1, 2)
    assert await store.maps.count_held_back() == []
    await store.journal.write(HoldBack(LIFE + 1, "fu-1", "tk-1", 0), Save(start))
    assert [one.count for one in await store.maps.ranges()] == [1]
    await store.journal.write(complete(accept(1)), complete(accept(2)))
    assert await store.maps.pending([LIFE + 1, LIFE + 2]) == []


async def test_what_becomes_ready_and_ends_in_one_group_has_ended(store: Store) -> None:
    await store.journal.write(later(1))
    store.journal.add((Ready(LIFE + 1, "fu-1", "tk-1", 0),))
    await store.journal.write(complete(accept(1), outcome=Outcome.CANCELLED))
    assert await store.maps.ranges() == []
