"""Queues of which only the first inputs are in memory: everything holds for the others, too."""

from functools import partial

import pytest

from tests.component.pools.rig import Played, Rig
from tests.waiting import until
from yurt.domain.errors import TooManyPending
from yurt.domain.records import CallKind, Role
from yurt.domain.retry import RetryPolicy
from yurt.domain.timing import Timing
from yurt.pools.inputs import Input
from yurt.pools.live_map import LiveMap, NewMap
from yurt.pools.queue import Window
from yurt.usecases.backlog import Backlog
from yurt.usecases.begun import Envelope
from yurt.usecases.principals import Principal
from yurt_runner import wire

SMALL = Window(stream=4, queue=8, least=2)
ANYBODY = Principal("tk-1", Role.ADMIN, None)


@pytest.fixture
async def rig(rig: Rig) -> Rig:
    await rig.resize(SMALL)
    return rig


async def calls(rig: Rig, count: int) -> list[Input]:
    """So many calls of one caller, for a function without containers."""
    await rig.deploy(max_containers=0)
    return [await rig.call() for _ in range(count)]


async def a_map(rig: Rig, size: int, *, return_exceptions: bool = False) -> LiveMap:
    """A map, sealed."""
    pool = rig.heart.pools["fu-1"]
    found = rig.heart.maps.begin(pool.live, NewMap("tk-1", return_exceptions))
    for first in range(0, size, 10):
        await rig.heart.maps.add(found, [b'{"args":[%d]}' % index for index in range(first, min(first + 10, size))])
    await rig.heart.maps.seal(found, truncated=False)
    return found


async def work(rig: Rig, box: Played) -> list[int]:
    """Answer whatever the container is given until nothing is left; returns the numbers."""
    heart, queue, answered = rig.heart, rig.heart.pools["fu-1"].queue, 0

    def over() -> bool:
        return not (heart.inputs or len(queue) or heart.maps.open)

    def news() -> bool:
        return len(box.inputs) > answered or over()

    while not over():
        await until(news, "the next input")
        for frame in box.inputs[answered:]:
            box.answer(frame)
            answered += 1
    return [frame.seq for frame in box.inputs]


async def open_box(rig: Rig) -> Played:
    await rig.deploy(2, max_containers=1)
    return await rig.container()


async def test_few_are_in_memory_and_all_run_in_their_order(rig: Rig) -> None:
    items = await calls(rig, 40)
    assert len(rig.heart.inputs) <= SMALL.stream
    assert len(rig.heart.pools["fu-1"].queue) == 40
    assert await work(rig, await open_box(rig)) == [item.seq for item in items]
    assert {result.outcome for result in rig.results.values()} == {"success"}
    assert rig.results.keys() == {item.seq for item in items}


async def test_priority_comes_first_wherever_it_is(rig: Rig) -> None:
    items = await calls(rig, 20)
    desk, live = rig.desk(), rig.heart.pools["fu-1"].live
    urgent = [(await desk.begin(ANYBODY, live, Envelope(b"{}", priority=5), CallKind.SPAWN)).seq for _ in range(20)]
    await rig.settle()
    assert await work(rig, await open_box(rig)) == [*urgent, *(item.seq for item in items)]


async def test_callers_take_turns_whoever_has_more(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    many = [await rig.call("tk-1") for _ in range(30)]
    few = [await rig.call("tk-2") for _ in range(3)]
    order = await work(rig, await open_box(rig))
    assert sorted(order) == sorted(item.seq for item in (*many, *few))
    assert [order.index(item.seq) <= 2 * (place + 1) for place, item in enumerate(few)] == [True] * 3


async def test_the_limit_of_the_queue_counts_those_in_the_store(rig: Rig) -> None:
    await calls(rig, 100)
    with pytest.raises(TooManyPending):
        await rig.call()


async def test_one_that_is_only_in_the_store_is_looked_at_and_cancelled(rig: Rig) -> None:
    items = await calls(rig, 20)
    last = items[-1]
    assert last.seq not in rig.heart.inputs
    desk, call_id = rig.desk(), rig.tags.call_id(last.seq)
    view, _ = await desk.get(ANYBODY, call_id)
    assert view.status == "pending"
    assert view.pending_reason is not None
    view, _ = await desk.cancel(ANYBODY, call_id)
    assert view.status == "terminated"
    assert len(rig.heart.pools["fu-1"].queue) == 19
    assert await work(rig, await open_box(rig)) == [item.seq for item in items[:-1]]


async def test_the_whole_backlog_is_cancelled(rig: Rig) -> None:
    items = await calls(rig, 30)
    assert await Backlog(rig.heart, rig.clock).cancel("fu-1") == 30
    assert rig.results.keys() == {item.seq for item in items}
    await rig.settle()
    assert len(rig.heart.pools["fu-1"].queue) == 0


async def test_only_the_older_part_of_a_backlog_is_cancelled(rig: Rig) -> None:
    old = await calls(rig, 12)
    rig.clock.advance(10)
    young = [await rig.call() for _ in range(12)]
    assert await Backlog(rig.heart, rig.clock).cancel("fu-1", rig.clock.now() - 5) == 12
    assert rig.results.keys() == {item.seq for item in old}
    assert await work(rig, await open_box(rig)) == [item.seq for item in young]


async def test_a_function_that_goes_takes_what_is_in_the_store_along(rig: Rig) -> None:
    items = await calls(rig, 30)
    rig.heart.functions.retire("fu-1", by="function_deleted")
    await until(lambda: len(rig.results) == 30, "all are cancelled")
    assert {rig.results[item.seq].outcome for item in items} == {"cancelled"}


async def test_all_that_is_queued_fails_with_the_third_start(rig: Rig) -> None:
    items = await calls(rig, 30)
    await rig.deploy(2, max_containers=1)
    for _ in range(3):
        await rig.scale()
        box = await rig.boot(ready=False)
        box.start_failed()
        box.hang_up()
        await rig.tick(5)
    await until(lambda: len(rig.results) == 30, "all have failed")
    assert {rig.results[item.seq].outcome for item in items} == {"init_failure"}


async def test_those_in_the_store_expire_on_time(rig: Rig) -> None:
    patient = await calls(rig, 10)
    desk, live = rig.desk(), rig.heart.pools["fu-1"].live
    envelope = Envelope(b"{}", timing=Timing(queue_timeout_s=30))
    hasty = [(await desk.begin(ANYBODY, live, envelope, CallKind.SPAWN)).seq for _ in range(10)]
    for seq in hasty:
        rig.heart.followers.wait(seq, partial(rig.results.__setitem__, seq))
    await rig.settle()
    await rig.tick(29)
    assert rig.results == {}
    await rig.tick(2)
    await until(lambda: len(rig.results) == 10, "all have expired")
    assert {rig.results[seq].outcome for seq in hasty} == {"expired"}
    assert await work(rig, await open_box(rig)) == [item.seq for item in patient]


async def test_the_next_life_goes_on_where_this_one_ended(rig: Rig) -> None:
    items = await calls(rig, 30)
    box = await open_box(rig)
    for frame in list(box.inputs):
        box.answer(frame)
    await rig.settle()
    rig.engine.alive.clear()
    pool = await rig.reopen(rig.heart.pools["fu-1"])
    assert len(rig.heart.inputs) <= SMALL.stream + 1
    await rig.scale()
    done = list(rig.results)
    order = await work(rig, await rig.boot())
    assert order == [item.seq for item in items if item.seq not in done]
    assert len(pool.queue) == 0


async def test_what_a_container_holds_is_adopted_though_it_is_far_down_the_queue(rig: Rig) -> None:
    items = await calls(rig, 30)
    box = await open_box(rig)
    held = box.inputs[0]
    live = rig.heart.pools["fu-1"]
    await rig.reopen(live)
    ((_, member),) = list(rig.heart.lives)
    far = items[20]
    box.member, box.pool = member, rig.heart.pools["fu-1"]
    await box.reconnect([[held.seq, held.token, 1, 0.5, False], [far.seq, held.token + 1, 1, 0.1, False]])
    assert member.held.keys() == {held.seq, far.seq}


async def test_a_map_is_drained_in_order_with_few_of_its_inputs_in_memory(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    found = await a_map(rig, 45)
    assert len(found.open) <= SMALL.stream
    ended: list[int] = []
    rig.heart.followers.wait(found.seq, lambda result: ended.append(result.seq))
    order = await work(rig, await open_box(rig))
    assert order == sorted(order)
    assert len(order) == 45
    assert (found.counts.success, ended) == (45, [found.seq])


async def test_a_map_that_is_cancelled_ends_with_all_of_its_inputs(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    found = await a_map(rig, 45)
    ended: list[str] = []
    rig.heart.followers.wait(found.seq, lambda result: ended.append(result.outcome))
    rig.heart.maps.cancel(found, "token")
    await until(lambda: bool(ended), "the map has ended")
    assert (found.counts.terminated, ended) == (45, ["cancelled"])
    assert len(rig.heart.pools["fu-1"].queue) == 0


async def test_a_map_goes_on_in_the_next_life(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    found = await a_map(rig, 45)
    box = await open_box(rig)
    for frame in list(box.inputs):
        box.answer(frame)
    await rig.settle()
    done = found.counts.success
    rig.engine.alive.clear()
    await rig.reopen(rig.heart.pools["fu-1"])
    again = rig.heart.maps.open[found.seq]
    assert again.counts.success == done > 0
    await rig.scale()
    order = await work(rig, await rig.boot())
    assert len(order) == 45 - done
    assert again.counts.success == 45


async def delayed(rig: Rig, count: int, delay_s: float) -> list[int]:
    """So many calls that begin later; their results will be in `results`."""
    desk, live = rig.desk(), rig.heart.pools["fu-1"].live
    envelope = Envelope(b"{}", timing=Timing(delay_s))
    seqs = [(await desk.begin(ANYBODY, live, envelope, CallKind.SPAWN)).seq for _ in range(count)]
    for seq in seqs:
        rig.heart.followers.wait(seq, partial(rig.results.__setitem__, seq))
    await rig.settle()
    return seqs


async def test_calls_with_a_delay_are_only_in_the_store_and_run_in_their_order(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    seqs = await delayed(rig, 30, 30)
    now = await rig.call()
    assert rig.heart.inputs.keys() == {now.seq}
    await rig.tick(29)
    assert rig.heart.inputs.keys() == {now.seq}
    await rig.tick(2)
    assert len(rig.heart.inputs) <= 2 * SMALL.stream
    assert await work(rig, await open_box(rig)) == [*seqs, now.seq]


async def test_calls_with_a_delay_are_cancelled_with_the_backlog_and_with_their_function(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=0)
    first = await delayed(rig, 10, 30)
    assert await Backlog(rig.heart, rig.clock).cancel("fu-1") == 10
    assert rig.results.keys() == set(first)
    second = await delayed(rig, 10, 30)
    rig.heart.functions.retire("fu-1", by="function_deleted")
    await until(lambda: rig.results.keys() == {*first, *second}, "all are cancelled")
    assert pool.held_back == 0


async def test_calls_with_a_delay_count_in_the_limit_and_outlive_the_server(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    seqs = await delayed(rig, 100, 60)
    with pytest.raises(TooManyPending):
        await rig.call()
    pool = await rig.reopen(rig.heart.pools["fu-1"])  # 30 s go by
    assert (pool.held_back, rig.heart.inputs) == (100, {})
    await rig.tick(31)
    assert pool.held_back == 0
    assert await work(rig, await open_box(rig)) == seqs


async def test_inputs_of_a_map_wait_in_the_store_for_their_next_attempt(rig: Rig) -> None:
    await rig.deploy(max_containers=0, retries=RetryPolicy(1, initial_delay_s=10))
    found = await a_map(rig, 6, return_exceptions=True)
    await rig.deploy(2, max_containers=1, retries=RetryPolicy(1, initial_delay_s=10))
    box = await rig.container()
    for place in range(6):
        await until(lambda place=place: len(box.inputs) > place, "the next input")  # type: ignore[misc]
        box.fail(box.inputs[place], "user_error")
    await until(lambda: not found.open, "all wait in the store")
    view, _ = await rig.desk().get(ANYBODY, rig.tags.call_id(found.seq))
    assert view.pending_reason is not None
    assert view.pending_reason.code == "retry_backoff"
    box.say(wire.BEAT)
    await rig.tick(11)
    order = await work(rig, box)
    assert sorted(order[6:]) == sorted(order[:6])
    assert found.counts.success == 6


@pytest.mark.parametrize("retired", [False, True])
@pytest.mark.parametrize("count", [12, 16, 20, 60])
async def test_the_whole_backlog_of_many_callers_ends(rig: Rig, retired: bool, count: int) -> None:
    """While one caller's is read, what of the others is read into memory in their turn is not passed over."""
    await rig.deploy(max_containers=0)
    items = [await rig.call(f"tk-{place % 4}") for place in range(count)]
    if retired:
        rig.heart.functions.retire("fu-1", by="function_deleted")
    else:
        assert await Backlog(rig.heart, rig.clock).cancel("fu-1") == count
    await until(lambda: rig.results.keys() == {item.seq for item in items}, "all are cancelled")


async def test_a_read_that_began_before_an_input_was_held_back_does_not_bring_it(rig: Rig) -> None:
    await rig.deploy(max_containers=0, retries=RetryPolicy(1, initial_delay_s=10))
    first, *_ = [await rig.call() for _ in range(20)]
    await rig.deploy(2, max_containers=1, retries=RetryPolicy(1, initial_delay_s=10))
    box = await rig.container()
    stored, rows = rig.heart.stored, await rig.store.maps.pending([first.seq])
    with stored.watched() as changed:
        box.fail(box.inputs[0], "user_error")
        await rig.settle()
    assert rig.heart.pools["fu-1"].held_back == 1
    assert stored.fresh(None, rows, changed) == []
    assert await rig.heart.reach.cancel(first.seq, "token")
    assert (await rig.result(first)).outcome == "cancelled"
