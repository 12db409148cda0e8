"""A call that a container takes at once has no place in the store's queue, until it needs one."""

from typing import Any

from tests.component.pools.rig import Played, Rig
from yurt.domain.records import Placed
from yurt.domain.retry import RetryPolicy
from yurt.pools.inputs import Input
from yurt.pools.pool import Pool
from yurt_runner import wire


async def places(rig: Rig) -> int:
    """How many inputs have one, as another reader of the store sees it."""
    await rig.settle()
    return sum(where.count for where in await rig.store.maps.ranges())


async def mark(rig: Rig) -> int:
    found = await rig.store.records.get(Placed, 1)
    assert found is not None
    return found.before


async def warm(rig: Rig, **values: Any) -> tuple[Pool, Played]:
    """A function with a container that is free."""
    pool = await rig.deploy(min_containers=1, **values)
    return pool, await rig.container()


async def begun(rig: Rig, box: Played) -> tuple[Input, wire.Frame]:
    """A call that went to the container at once."""
    item = await rig.call()
    frame = box.inputs[-1]
    assert frame.seq == item.seq
    assert await places(rig) == 0
    return item, frame


async def test_it_ends_without_ever_having_one(rig: Rig) -> None:
    _, box = await warm(rig)
    item, frame = await begun(rig, box)
    box.answer(frame)
    await rig.result(item)
    assert await places(rig) == 0


async def test_what_finds_no_room_has_one(rig: Rig) -> None:
    _, box = await warm(rig, max_containers=1)
    await begun(rig, box)
    await rig.call()
    assert await places(rig) == 1


async def test_calls_of_one_turn_do_not_count_on_the_same_slot(rig: Rig) -> None:
    pool, box = await warm(rig, max_containers=1)
    assert [pool.has_room(), len(pool.queue)] == [True, 0]
    pool.coming += 1
    assert not pool.has_room()
    pool.coming -= 1
    await begun(rig, box)


async def test_after_a_kill_it_runs(rig: Rig) -> None:
    pool, box = await warm(rig)
    item, _ = await begun(rig, box)
    pool = await rig.reopen(pool)
    assert item.seq in pool.recovering
    assert await places(rig) == 1


async def test_one_that_runs_meanwhile_is_adopted(rig: Rig) -> None:
    pool, box = await warm(rig)
    item, frame = await begun(rig, box)
    await rig.reopen(pool)
    talk = await box.reconnect([[frame.seq, frame.token, 1, 4.5, False]])
    entry = rig.lives.get(box.member.id)
    assert entry is not None
    again = Played(rig, *entry, talk, box.credential)
    await rig.tick(10)
    again.answer(frame, "once")
    assert (await rig.result(item)).attempts == 1
    assert again.inputs == []
    assert await places(rig) == 0


async def test_one_that_takes_long_gets_one_so_that_the_mark_can_move_on(rig: Rig) -> None:
    _, box = await warm(rig)
    item, frame = await begun(rig, box)
    await rig.tick()
    assert (await places(rig), await mark(rig)) == (0, item.seq)
    await rig.tick()
    assert (await places(rig), await mark(rig)) == (1, item.seq + 1)
    other = await rig.call()
    await rig.tick()
    assert await mark(rig) == other.seq + 1
    box.answer(frame)
    await rig.result(item)
    assert await places(rig) == 1  # the other one, which had to wait


async def test_a_quiet_server_writes_no_mark(rig: Rig) -> None:
    _, box = await warm(rig)
    item, frame = await begun(rig, box)
    box.answer(frame)
    await rig.result(item)
    for _ in range(2):
        await rig.tick()
    commits = rig.store.journal.stats().commits
    await rig.tick()
    assert rig.store.journal.stats().commits == commits


async def test_with_its_container_gone_it_waits_in_its_place(rig: Rig) -> None:
    _, box = await warm(rig, max_containers=1)
    await begun(rig, box)
    rig.engine.end(box.member.id)
    box.hang_up()
    assert await places(rig) == 1


async def test_given_back_it_waits_in_its_place(rig: Rig) -> None:
    _, box = await warm(rig, max_containers=1)
    item, frame = await begun(rig, box)
    box.member.stopping = True
    box.member.fencing = True
    box.say(wire.RETURN, frame.seq, frame.token)
    assert await places(rig) == 1
    assert item.queued


async def test_cancelled_on_its_way_into_its_place_it_ends(rig: Rig) -> None:
    _, box = await warm(rig, max_containers=1)
    item, frame = await begun(rig, box)
    rig.store.journal.hold()
    box.member.fencing = True
    box.say(wire.RETURN, frame.seq, frame.token)
    rig.heart.cancel(item, "token")
    rig.store.journal.release()
    await rig.result(item)
    assert await places(rig) == 0
    assert not item.queued


async def test_an_attempt_that_failed_waits_for_the_next_in_its_place(rig: Rig) -> None:
    _, box = await warm(rig, retries=RetryPolicy(1, 0.5))
    item, frame = await begun(rig, box)
    box.fail(frame, "user_error")
    assert await places(rig) == 1
    await rig.tick(0.6)
    assert box.inputs[-1].seq == item.seq


async def test_one_whose_next_attempt_is_far_waits_for_its_timer_alone(rig: Rig) -> None:
    _, box = await warm(rig, retries=RetryPolicy(1, 5))
    item, frame = await begun(rig, box)
    box.fail(frame, "user_error")
    assert await places(rig) == 0
    for _ in range(3):
        await rig.tick()
    assert await places(rig) == 0
    await rig.tick(3)
    await rig.settle()
    assert box.inputs[-1].seq == item.seq
