"""Limits of waiting."""

import asyncio

from yurt.usecases.alarms import Alarms


async def test_an_alarm_rings_when_its_time_is_over_and_not_for_those_who_left() -> None:
    loop, alarms = asyncio.get_running_loop(), Alarms()
    left, later, soon = (loop.create_future() for _ in range(3))
    begun = loop.time()
    alarms.set(left, 0.0)
    alarms.set(later, 3600.0)
    alarms.set(soon, 0.01)
    alarms.drop(left)
    await asyncio.wait_for(soon, 10)
    assert loop.time() - begun >= 0.01
    assert not left.done()
    assert not later.done()
    alarms.drop(later)


async def test_alarms_ring_again_after_a_rest() -> None:
    loop, alarms = asyncio.get_running_loop(), Alarms()
    for _ in range(2):
        future = loop.create_future()
        alarms.set(future, 0.0)
        await asyncio.wait_for(future, 10)


async def test_what_is_done_by_itself_is_left_alone() -> None:
    loop, alarms = asyncio.get_running_loop(), Alarms()
    done, other = loop.create_future(), loop.create_future()
    done.set_exception(RuntimeError("its own end"))
    alarms.set(done, 0.0)
    alarms.set(other, 0.0)
    await asyncio.wait_for(other, 10)
    assert isinstance(done.exception(), RuntimeError)
