"""Followers of calls: they may leave at any moment, and leave nothing behind."""

import asyncio

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.errors import CallExpired
from yurt.domain.records import Role
from yurt.inbound.rest.streams import Paced
from yurt.ports import LogLine, LogQuery
from yurt.usecases.events import Events
from yurt.usecases.principals import Principal

ANYBODY = Principal("tk-1", Role.ADMIN, None)


@pytest.fixture
def events(rig: Rig) -> Events:
    """The events of the rig's calls."""
    return Events(rig.desk(), rig.logs)


async def test_who_leaves_while_nothing_happens_leaves_no_task(rig: Rig, events: Events) -> None:
    await rig.deploy()
    item = await rig.call()
    following = events.follow(ANYBODY, rig.tags.call_id(item.seq), item.seq)
    async with following, Paced(following, 0.01) as paced:
        first = None
        while first is None:  # the first look takes the time of a read
            first = await anext(paced)
        assert first.kind == "pending"
        assert await anext(paced) is None
    assert rig.heart.followers.watchers == {}
    assert rig.logs.followers == 0
    assert {task.get_name() for task in asyncio.all_tasks()} & {"events-logs", "events-states"} == set()


async def test_who_leaves_with_an_error_gets_that_error(rig: Rig, events: Events) -> None:
    await rig.deploy()
    item = await rig.call()

    async def read_one() -> None:
        following = events.follow(ANYBODY, rig.tags.call_id(item.seq), item.seq)
        async with following, Paced(following, 5) as paced:
            await anext(paced)
            raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        await read_one()
    assert rig.logs.followers == 0


async def test_a_follower_sees_the_lines_and_the_end(rig: Rig, events: Events) -> None:
    await rig.deploy()
    item = await rig.call()
    async with events.follow(ANYBODY, rig.tags.call_id(item.seq), item.seq) as following:
        assert (await anext(following)).kind == "pending"
        rig.logs.append([LogLine(1.0, "stdout", "co-1", "fu-1", item.seq, 1, "hello")])
        rig.heart.cancel(item, "token")
        kinds = [event.kind async for event in following]
    assert kinds == ["log", "end"]


async def test_a_call_that_is_no_longer_there_cannot_be_followed(rig: Rig, events: Events) -> None:
    with pytest.raises(CallExpired):
        async with events.follow(ANYBODY, rig.tags.call_id(5), 5) as following:
            await anext(following)


async def test_the_lines_of_a_call_end_with_it(rig: Rig, events: Events) -> None:
    await rig.deploy()
    item = await rig.call()
    call_id, wanted = rig.tags.call_id(item.seq), LogQuery(seq=item.seq)
    rig.logs.append([LogLine(1.0, "stdout", "co-1", "fu-1", item.seq, 1, "hello")])
    lines = events.lines(ANYBODY, call_id, item.seq, wanted)
    assert (await anext(lines)).text == "hello"
    rig.heart.cancel(item, "token")
    assert [line.text async for line in lines] == []
    assert [line.text async for line in events.lines(ANYBODY, call_id, item.seq, wanted)] == ["hello"]
    assert rig.logs.followers == 0
