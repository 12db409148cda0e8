"""A Nomad that does not answer, for a while or only late."""

import asyncio

import pytest

from tests.component.nomad.conftest import TOKEN, Rig
from tests.fakes.nomad.server import RIGHTS
from tests.waiting import until
from yurt.outbound.engines.nomad import NomadEngine
from yurt.ports import ClusterRefused, Ended, EngineRefused, Placed


async def refused(rig: Rig) -> str:
    """Why no container is started now."""
    with pytest.raises(EngineRefused) as error:
        await rig.engine.start(rig.spec("co-2"))
    assert error.value.code == "engine_unreachable"
    return str(error.value)


async def started(engine: NomadEngine, rig: Rig) -> None:
    """Start one as soon as that is possible again."""
    async with asyncio.timeout(30):
        while True:
            try:
                await engine.start(rig.spec("co-2"))
            except EngineRefused:
                await asyncio.sleep(0.05)
            else:
                break
    await rig.report(Placed, "co-2")


async def test_while_nomad_is_away_starts_are_refused_with_since_when(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.leaderless = True
    rig.double.cut_streams()
    await until(lambda: rig.engine._breaker.is_open, "the breaker")
    async with asyncio.timeout(30):
        while not (await refused(rig)).startswith("Nomad is not reachable since 2"):
            pass  # Nomad was asked, which happens now and then
        await until(engine.away, "the word that a start would be refused")
    assert (await engine.check() or "").startswith("Nomad is not reachable since 2")
    rig.double.knobs.leaderless = False
    await until(lambda: not rig.engine._breaker.is_open, "an answer")
    assert (await engine.check(), engine.away()) == (None, None)
    assert await engine.start(rig.spec()) in rig.children()


async def test_without_a_leader_starts_are_refused_until_there_is_one(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.leaderless = True
    assert "No cluster leader" in await refused(rig)
    rig.double.knobs.leaderless = False
    await started(engine, rig)


async def test_ends_are_seen_that_came_while_the_stream_was_broken(rig: Rig) -> None:
    await rig.open()
    await rig.run()
    rig.double.cut_streams()
    rig.double.cluster.finish(rig.allocation_of(), 137, signal=9, oom=True)
    end = await rig.end_of()
    assert (end.signal, end.oom) == (9, True)


async def test_ends_are_seen_that_came_while_nobody_answered(rig: Rig) -> None:
    engine = await rig.open()
    await rig.run()
    await rig.double.stop()
    await until(lambda: rig.engine._breaker.is_open, "the breaker")
    await refused(rig)
    assert "not reachable since" in str(await engine.check())
    rig.double.cluster.finish(rig.allocation_of(), 3)
    await rig.double.start()
    assert (await rig.end_of()).exit_code == 3
    assert await engine.check() is None


async def test_a_container_is_stopped_as_soon_as_nomad_can_be_asked_again(rig: Rig) -> None:
    engine = await rig.open()
    await rig.run()
    rig.double.knobs.answers["/v1/job/"] = (403, "Permission denied")
    await engine.stop("co-1", grace_s=0)
    rig.double.knobs.answers.clear()
    assert rig.told(Ended) == []
    rig.double.cut_streams()
    await rig.end_of()


async def test_a_slow_nomad_holds_nobody_else_up(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.slow_s = 0.3
    starts = [asyncio.create_task(engine.start(rig.spec(f"co-{number}"))) for number in range(4)]
    turns = 0
    while not all(start.done() for start in starts):
        turns += 1
        await asyncio.sleep(0.005)
    assert turns > 10  # the loop went on meanwhile
    assert len(rig.children()) == 4


async def test_what_is_asked_as_the_engine_closes_is_refused_and_breaks_nothing(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.slow_s = 0.2
    asked = [asyncio.create_task(engine.tidy([rig.spec().function])) for _ in range(12)]
    await until(lambda: any("prefix=" in path for path in rig.double.requests), "the first question")
    await engine.close(stop_all=False)
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(end) for end in ends} <= {type(None), EngineRefused}
    assert any(isinstance(end, EngineRefused) for end in ends)


async def test_a_token_that_was_replaced_is_used_from_then_on(rig: Rig) -> None:
    current = ["one"]
    rig.double.tokens = {"one": RIGHTS}
    rig.engine = rig.make(token=lambda: current[0])
    await rig.open()
    rig.double.tokens = {"two": RIGHTS}
    current[0] = "two"
    await rig.run()


async def test_a_token_that_cannot_be_read_is_the_reason_to_wait(rig: Rig) -> None:
    current = [TOKEN]

    def tell() -> str:
        if not current:
            raise ClusterRefused("The file of a token, /secrets/nomad.token, cannot be read: it is gone.")
        return current[0]

    rig.engine = rig.make(token=tell)
    engine = await rig.open()
    current.clear()
    assert "/secrets/nomad.token" in await refused(rig)
    current.append(TOKEN)
    await started(engine, rig)
