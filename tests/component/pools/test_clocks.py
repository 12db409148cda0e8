"""Clocks that jump, machines that sleep: what lasts is measured on a clock that nobody sets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.clocks import FreeClock
from tests.component.pools.rig import Played, Rig
from tests.waiting import until
from yurt.loops import containers, expiry
from yurt.loops.containers import watch_containers
from yurt.pools.members import LEASE_S
from yurt.pools.numbers import Numbers
from yurt_runner import wire

HOUR_S = 3600.0


async def busy(rig: Rig) -> Played:
    """A container that runs an input, and has said so."""
    await rig.deploy(max_containers=1, timeout_s=60)
    await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    box.say(wire.STARTED, frame.seq, frame.token, for_s=0.5)
    return box


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_step_of_the_wall_clock_ends_no_attempt_and_no_lease(rig: Rig, step_s: float) -> None:
    box = await busy(rig)
    rig.clock.time += step_s
    await rig.tick(1)
    await rig.tick(10)
    assert not box.member.fencing
    assert rig.results == {}
    box.answer(box.inputs[0], "in time")
    await rig.settle()
    assert [result.outcome for result in rig.results.values()] == ["success"]


async def test_an_attempt_is_timed_through_a_clock_that_was_set_back(rig: Rig) -> None:
    box = await busy(rig)
    rig.clock.time -= HOUR_S
    for _ in range(8):
        box.say(wire.BEAT)
        await rig.tick(10)
    assert box.member.fencing
    assert [result.outcome for result in rig.results.values()] == ["timeout"]


@asynccontextmanager
async def watching(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[float], Awaitable[None]]]:
    """The loop that watches containers, which looks at once whenever time is let pass."""
    ticks = 0
    tick = rig.lives.tick

    def counted(now: float, *, renew: bool) -> None:
        nonlocal ticks
        ticks += 1
        tick(now, renew=renew)

    async def passes(seconds: float) -> None:
        seen = ticks
        rig.clock.advance(seconds)
        await until(lambda: ticks > seen, "a turn of the loop")
        await rig.settle()

    monkeypatch.setattr(containers, "EVERY_S", 0.0)
    monkeypatch.setattr(rig.lives, "tick", counted)
    numbers = Numbers(rig.store.identity.epoch, rig.store.journal.next_epoch)
    task = asyncio.create_task(watch_containers(rig.heart, rig.lives, numbers, rig.clock))
    try:
        yield passes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_containers_said_in_a_gap_of_the_loop_is_heard_first(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = await busy(rig)
    async with watching(rig, monkeypatch) as passes:
        tick = rig.lives.tick

        def and_then_the_socket(now: float, *, renew: bool) -> None:
            tick(now, renew=renew)
            if renew:
                box.answer(box.inputs[0], "in time")

        monkeypatch.setattr(rig.lives, "tick", and_then_the_socket)
        await passes(HOUR_S)
    assert not box.member.fencing
    assert [result.outcome for result in rig.results.values()] == ["success"]


async def test_leases_begin_anew_after_a_gap_of_the_loop(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.deploy(max_containers=1)
    await rig.call()
    box = await rig.container()
    async with watching(rig, monkeypatch) as passes:
        await passes(HOUR_S)
        for _ in range(int(LEASE_S)):
            await passes(0.9)
        assert not box.member.fencing
        for _ in range(3):
            await passes(0.9)
        assert box.member.fencing


class Apps:
    """Ephemeral apps that take notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def expire(self, now: float) -> None:
        self.said.append("expire")

    async def renew_all(self, now: float) -> None:
        self.said.append("renew")


@pytest.mark.parametrize(
    ("wall_s", "steady_s", "said"),
    [
        (1.0, 1.0, ["expire"]),
        (1.0 + HOUR_S, 1.0, ["renew", "expire"]),
        (1.0 - HOUR_S, 1.0, ["renew", "expire"]),
        (HOUR_S, HOUR_S, ["renew", "expire"]),
    ],
    ids=["a second", "set forward, or slept", "set back", "stopped"],
)
async def test_ephemeral_apps_outlive_what_nobody_could_renew_in(
    wall_s: float, steady_s: float, said: list[str]
) -> None:
    clock, apps = FreeClock(), Apps()
    task = asyncio.create_task(expiry.expire(clock, apps))
    try:
        await until(lambda: clock.sleepers)
        clock.time += wall_s - steady_s
        clock.advance(steady_s)
        await until(lambda: "expire" in apps.said and clock.sleepers)
        assert apps.said == said
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
