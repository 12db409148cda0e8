"""A call whose caller only waits for its end is written with that, if a container takes it and it ends soon."""

import pytest

from tests.component.pools.rig import Played, Rig
from yurt.domain.records import AttemptRecord, Outcome
from yurt.pools.inputs import Input, NewCall
from yurt.pools.pool import Pool
from yurt.ports import StoredCall
from yurt_runner import wire


async def warm(rig: Rig, **values: int) -> tuple[Pool, Played]:
    """A function with a container that is free."""
    pool = await rig.deploy(min_containers=1, **values)
    return pool, await rig.container()


async def begun(rig: Rig, box: Played) -> tuple[Input, wire.Frame]:
    """A call that runs and is not written."""
    item = await rig.call(waits=True)
    frame = box.inputs[-1]
    assert frame.seq == item.seq
    assert await stored(rig, item) is None
    return item, frame


async def stored(rig: Rig, item: Input) -> StoredCall | None:
    """As another reader of the store sees it."""
    await rig.settle()
    return await rig.store.calls.get(item.seq)


async def is_open(rig: Rig, item: Input) -> bool:
    found = await stored(rig, item)
    return found is not None and found.result is None


async def test_a_call_that_ends_soon_is_one_transaction(rig: Rig) -> None:
    _, box = await warm(rig)
    await rig.settle()
    before = rig.store.journal.stats()
    item, frame = await begun(rig, box)
    box.answer(frame, "done")
    result = await rig.result(item)
    after = rig.store.journal.stats()
    assert result.value is not None
    assert (after.commits - before.commits, after.changes - before.changes) == (1, 2)
    found = await stored(rig, item)
    assert found is not None
    assert (found.call.caller, found.result) == ("tk-1", result)
    assert box.talk.acked == [(frame.seq, frame.token)]


async def test_one_that_takes_longer_is_written_meanwhile(rig: Rig) -> None:
    _, box = await warm(rig)
    item, frame = await begun(rig, box)
    rig.clock.advance(0.02)
    assert not await is_open(rig, item)
    rig.clock.advance(0.02)
    assert await is_open(rig, item)
    box.answer(frame)
    assert (await rig.result(item)).outcome == Outcome.SUCCESS


async def test_it_is_written_before_what_becomes_of_its_attempt(rig: Rig) -> None:
    _, box = await warm(rig, max_containers=1)
    item, _ = await begun(rig, box)
    rig.engine.end(box.member.id)
    box.hang_up()
    assert await is_open(rig, item)
    assert [where.count for where in await rig.store.maps.ranges()] == [1]
    assert await rig.store.records.get(AttemptRecord, item.seq, 1) is not None


async def test_cancelled_it_is_written_as_it_ended(rig: Rig) -> None:
    _, box = await warm(rig)
    item, _ = await begun(rig, box)
    rig.heart.cancel(item, "token")
    assert (await rig.result(item)).outcome == Outcome.CANCELLED
    found = await stored(rig, item)
    assert found is not None
    assert found.result is not None


async def test_given_back_it_is_written_and_waits(rig: Rig) -> None:
    _, box = await warm(rig, max_containers=1)
    item, frame = await begun(rig, box)
    box.member.fencing = True
    box.say(wire.RETURN, frame.seq, frame.token)
    assert await is_open(rig, item)
    assert item.queued


async def test_what_finds_no_container_is_written_at_once(rig: Rig) -> None:
    await rig.deploy()
    assert await is_open(rig, await rig.call(waits=True))


async def test_nothing_begins_that_cannot_be_written(rig: Rig) -> None:
    _, box = await warm(rig)
    rig.store.journal.hold()
    pool = rig.heart.pools["fu-1"]
    item = rig.heart.accept(pool.live, NewCall("invoke", "tk-1", b"{}", waits=True), lambda _: (), lambda _: None)
    await rig.clock.sleep(0)
    assert box.inputs == []
    rig.store.journal.release()
    assert await is_open(rig, item)
    assert len(box.inputs) == 1


async def test_a_server_that_stops_writes_what_runs(rig: Rig) -> None:
    _, box = await warm(rig)
    item, _ = await begun(rig, box)
    rig.heart.close()
    assert await is_open(rig, item)


async def test_a_kill_before_that_leaves_nothing_and_ends_what_runs(rig: Rig) -> None:
    pool, box = await warm(rig)
    item, frame = await begun(rig, box)
    rig.clock.sleepers.clear()  # time does not go on for this life of the server
    await rig.reopen(pool)
    assert await stored(rig, item) is None
    talk = await box.reconnect([[frame.seq, frame.token, 1, 0.01, False]])
    assert [(one.seq, one.token) for one in talk.of(wire.CANCEL)] == [(frame.seq, frame.token)]
    assert item.seq not in rig.results


async def test_one_that_the_store_refuses_never_was(rig: Rig) -> None:
    pool, box = await warm(rig)
    told: list[Exception | None] = []
    new = NewCall("invoke", "\ud800", b"{}", waits=True)
    item = rig.heart.accept(pool.live, new, lambda _: (), told.append)
    rig.heart.followers.wait(item.seq, lambda _: pytest.fail("it has an end"))
    await rig.settle()
    (frame,) = box.inputs
    rig.clock.advance(0.02)
    await rig.settle()
    rig.clock.advance(0.02)
    await rig.settle()
    assert [type(one) for one in told] == [UnicodeEncodeError]
    assert item.seq not in rig.heart.inputs
    box.answer(frame)
    await rig.settle()
    assert box.talk.acked == [(frame.seq, frame.token)]
