"""Calls that begin later, and calls that must begin soon."""

import json

import pytest

from tests.component.pools.rig import Played, Rig
from yurt.domain.errors import Invalid
from yurt.domain.records import CallKind, Role, Timer
from yurt.domain.retry import RetryPolicy
from yurt.domain.timing import Timing
from yurt.pools.inputs import Input
from yurt.usecases.begun import Envelope
from yurt.usecases.principals import Principal

ANYBODY = Principal("tk-1", Role.ADMIN, None)


async def spawn(rig: Rig, timing: Timing) -> Input:
    """A call with a timing; its result will be in `results`."""
    pool = rig.heart.pools["fu-1"]
    begun = await rig.desk().begin(ANYBODY, pool.live, Envelope(b"{}", timing=timing), CallKind.SPAWN)
    assert begun.item is not None
    item = begun.item
    rig.heart.followers.wait(item.seq, lambda result: rig.results.update({item.seq: result}))
    await rig.settle()
    return item


async def warm(rig: Rig) -> Played:
    """A container that waits."""
    await rig.deploy(min_containers=1, max_containers=1)
    return await rig.container()


async def test_a_delayed_call_begins_on_time_and_says_so_before(rig: Rig) -> None:
    box = await warm(rig)
    item = await spawn(rig, Timing(delay_s=30))
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert (reason.code, reason.retry_at) == ("delayed", item.created_at + 30)
    other = await rig.call()
    box.answer(box.inputs[0])
    await rig.result(other)
    await rig.tick(9, renew=True)
    await rig.tick(20.9, renew=True)
    assert len(box.inputs) == 1
    await rig.tick(0.2)
    assert box.inputs[1].seq == item.seq
    box.answer(box.inputs[1])
    assert (await rig.result(item)).attempts == 1
    await rig.settle()
    assert await rig.store.records.find(Timer, {}) == []


async def test_a_step_of_the_wall_clock_moves_nothing(rig: Rig) -> None:
    box = await warm(rig)
    await spawn(rig, Timing(delay_s=30))
    await spawn(rig, Timing(queue_timeout_s=30))
    rig.clock.time += 3600
    await rig.tick(1)
    assert (len(box.inputs), rig.results) == (1, {})
    rig.clock.time -= 7200
    await rig.tick(29.5, renew=True)
    box.answer(box.inputs[0])
    assert len(box.inputs) == 2


@pytest.mark.parametrize(("away_s", "early"), [(10, True), (50, False)])
async def test_the_next_life_keeps_the_time(rig: Rig, away_s: float, early: bool) -> None:
    box = await warm(rig)
    pool = rig.heart.pools["fu-1"]
    item = await spawn(rig, Timing(delay_s=60))
    rig.engine.alive.clear()
    await rig.reopen(pool)  # 30 s go by
    rig.clock.advance(away_s - 10)
    box = await rig.container()
    await rig.tick(0)
    assert (not box.inputs) == early
    await rig.tick(30, renew=True)
    assert [frame.seq for frame in box.inputs] == [item.seq]


async def test_a_call_that_does_not_begin_in_time_expires(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    item = await spawn(rig, Timing(queue_timeout_s=5))
    late = await spawn(rig, Timing(delay_s=5, queue_timeout_s=5))
    await rig.tick(4.9)
    assert rig.results == {}
    await rig.tick(0.2)
    result = await rig.result(item)
    assert (result.outcome, result.attempts, result.started_at) == ("expired", 0, None)
    assert json.loads(result.error_json or b"")["type"] == "QueueTimeout"
    assert late.seq not in rig.results
    await rig.tick(5)
    assert (await rig.result(late)).outcome == "expired"
    assert await rig.store.records.find(Timer, {}) == []


async def test_what_expired_while_the_server_was_away_ends_at_its_start(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=0)
    item = await spawn(rig, Timing(queue_timeout_s=20))
    await rig.reopen(pool)  # 30 s go by
    await rig.tick(0)
    assert (await rig.result(item)).outcome == "expired"


async def test_what_has_begun_does_not_expire_nor_does_its_retry(rig: Rig) -> None:
    await rig.deploy(retries=RetryPolicy(1, initial_delay_s=0))
    item = await spawn(rig, Timing(queue_timeout_s=5))
    box = await rig.container()
    await rig.tick(4)
    box.fail(box.inputs[0], "user_error")
    await rig.tick(4)
    box.answer(box.inputs[1])
    assert (await rig.result(item)).outcome == "success"


async def test_a_delayed_call_is_cancelled_at_once(rig: Rig) -> None:
    box = await warm(rig)
    item = await spawn(rig, Timing(delay_s=30))
    assert item.seq not in rig.heart.inputs, "it is only in the store"
    assert await rig.heart.reach.cancel(item.seq, "token")
    assert (await rig.result(item)).outcome == "cancelled"
    await rig.tick(31, renew=True)
    assert box.inputs == []


async def test_the_due_time_of_a_retry_outlives_the_server(rig: Rig) -> None:
    pool = await rig.deploy(retries=RetryPolicy(1, initial_delay_s=60))
    await rig.call()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error")
    await rig.settle()
    rig.engine.alive.clear()
    pool = await rig.reopen(pool)  # 30 s go by
    await rig.tick(29)
    assert (pool.held_back, len(pool.queue)) == (1, 0)
    await rig.tick(2)
    box = await rig.boot()
    assert json.loads(box.inputs[0].meta)["number"] == 2


async def test_the_same_key_with_another_delay_is_another_body(rig: Rig) -> None:
    pool, desk = await rig.deploy(), rig.desk()
    await desk.begin(ANYBODY, pool.live, Envelope(b"{}", timing=Timing(1)), CallKind.SPAWN, "key")
    assert (await desk.begin(ANYBODY, pool.live, Envelope(b"{}", timing=Timing(1)), CallKind.SPAWN, "key")).replayed
    for timing in (Timing(2), Timing(1, 1), None):
        with pytest.raises(Invalid):
            await desk.begin(ANYBODY, pool.live, Envelope(b"{}", timing=timing), CallKind.SPAWN, "key")


async def test_a_retry_that_waits_longer_than_the_queue_timeout_does_not_expire(rig: Rig) -> None:
    await rig.deploy(retries=RetryPolicy(1, initial_delay_s=10))
    item = await spawn(rig, Timing(queue_timeout_s=5))
    box = await rig.container()
    box.fail(box.inputs[0], "user_error")
    await rig.tick(8)
    assert rig.results == {}
    await rig.tick(3)
    box.answer(box.inputs[1])
    assert (await rig.result(item)).outcome == "success"


async def test_what_was_to_start_and_expired_while_the_server_was_away_never_runs(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    item = await spawn(rig, Timing(delay_s=5, queue_timeout_s=5))
    pool = await rig.reopen(rig.heart.pools["fu-1"])  # 30 s go by
    await rig.tick(0)
    assert (await rig.result(item)).outcome == "expired"
    assert (len(pool.queue), pool.held_back) == (0, 0)
