"""What schedules do as time passes: each tick once, whatever happens to the server and to its clock."""

import asyncio
from contextlib import suppress

from tests.component.schedules.conftest import EVERY_MINUTE, ROOT, Server, restart, wake
from tests.waiting import until
from yurt.domain.records import CallKind, ScheduleMark, Tick
from yurt.loops.scheduler import run_schedules


async def test_each_tick_makes_one_call_of_the_app(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(150)
    assert await server.ticks() == ["12:01:00", "12:02:00"]
    for stored in await server.calls():
        assert stored.call.kind == CallKind.SCHEDULE
        assert stored.call.caller == stored.call.app_id == server.only().held.record.app_id
        assert stored.call.args.data == b"{}"


async def test_a_call_of_a_schedule_runs_like_any_other(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(61)
    played = await server.rig.container()
    await server.rig.settle()
    played.answer(played.inputs[0], "done")
    await server.rig.settle()
    (stored,) = await server.calls()
    assert stored.result is not None
    assert stored.result.value is not None
    assert stored.result.value.data == b'"done"'


async def test_a_period_counts_from_the_deploy(server: Server) -> None:
    server.rig.clock.advance(7.25)
    await server.deploy({"period": {"seconds": 20}})
    await server.pass_time(61)
    assert await server.ticks() == ["12:00:27", "12:00:47", "12:01:07"]


async def test_of_missed_ticks_the_last_one_is_made_up_for(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    server.rig.clock.advance(3600 * 5 + 30)
    await server.look()
    assert await server.ticks() == ["17:00:00"]
    await server.pass_time(60)
    assert await server.ticks() == ["17:00:00", "17:01:00"]


async def test_a_restart_repeats_no_tick_and_makes_up_for_one(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(61)
    again = await restart(server)
    await again.look()
    assert await again.ticks() == ["12:01:00"]
    again = await restart(again, down_s=600)
    await again.look()
    await again.look()
    assert await again.ticks() == ["12:01:00", "12:11:00"]
    again = await restart(again)
    await again.pass_time(60)
    assert await again.ticks() == ["12:01:00", "12:11:00", "12:12:00"]
    assert again.only().held.mark.seq == (await again.calls())[-1].call.seq


async def test_who_does_not_know_of_a_tick_cannot_run_it_again(server: Server) -> None:
    """As a server does that took the store over with an older state: the store itself refuses."""
    await server.deploy(EVERY_MINUTE)
    other = await wake(server.rig)
    await server.pass_time(61)
    await other.look()
    assert await server.ticks() == ["12:01:00"]
    assert other.only().held.mark == server.only().held.mark
    await other.pass_time(60)
    assert await server.ticks() == ["12:01:00", "12:02:00"]


async def test_a_clock_that_is_set_forward_skips_to_the_present(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(61)
    server.rig.clock.time += 3600
    await server.pass_time(90)
    assert await server.ticks() == ["12:01:00", "13:01:00", "13:02:00"]


async def test_a_clock_that_is_set_back_repeats_no_tick_and_does_not_stop(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(130)
    server.rig.clock.time -= 90  # 12:00:40
    await server.pass_time(150)
    assert await server.ticks() == ["12:01:00", "12:02:00", "12:03:00"]


async def test_a_clock_that_was_years_ahead_leaves_no_silence(server: Server) -> None:
    await server.deploy({"period": {"minutes": 1}})
    server.rig.clock.time += 10 * 366 * 86_400
    await server.look()
    await server.deploy({"period": {"minutes": 1}}, memory=640)
    server.rig.clock.time -= 10 * 366 * 86_400
    await server.pass_time(90)
    assert len(await server.ticks()) == 2
    again = await restart(server)
    await again.pass_time(60)
    assert len(await again.ticks()) == 3


async def test_a_clock_set_back_while_the_server_was_down(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(130)
    again = await restart(server, down_s=-90)
    await again.pass_time(150)
    assert await again.ticks() == ["12:01:00", "12:02:00", "12:03:00"]


async def test_allow_lets_calls_wait_beside_each_other(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(190)
    assert len(await server.calls()) == 3
    assert all(stored.result is None for stored in await server.calls())


async def test_skip_leaves_ticks_out_until_the_call_has_ended(server: Server) -> None:
    await server.deploy(EVERY_MINUTE | {"overlap": "skip"})
    await server.pass_time(190)
    assert await server.ticks() == ["12:01:00"]
    mark = server.only().held.mark
    assert mark.skipped_at == mark.done_at != mark.called_at
    played = await server.rig.container()
    await server.rig.settle()
    played.answer(played.inputs[0])
    await server.rig.settle()
    await server.pass_time(60)
    assert await server.ticks() == ["12:01:00", "12:04:00"]


async def test_skip_knows_of_a_call_of_an_earlier_life_and_of_one_by_hand(server: Server) -> None:
    await server.deploy(EVERY_MINUTE | {"overlap": "skip"})
    await server.schedules.run(ROOT, server.only().held.record.id)
    again = await restart(server)
    await again.pass_time(120)
    assert await again.ticks() == [None]


async def test_skip_knows_of_a_call_that_waits_for_its_retry(server: Server) -> None:
    retries = {"max_retries": 1, "initial_delay": 60}
    await server.deploy(EVERY_MINUTE | {"overlap": "skip"}, retries=retries)
    await server.pass_time(61)
    played = await server.rig.container()
    await server.rig.settle()
    played.fail(played.inputs[0], "user_error")
    await server.rig.settle()
    await server.pass_time(59.5)
    assert await server.ticks() == ["12:01:00"]
    assert server.only().held.mark.skipped_at is not None


async def test_a_full_queue_postpones_the_tick(server: Server) -> None:
    await server.deploy({"period": {"seconds": 10}}, max_containers=1)
    await server.pass_time(85)
    assert len(await server.calls()) == 5, "the queue takes no more"
    played = await server.rig.container()
    await server.rig.settle()
    played.answer(played.inputs[0])
    await server.rig.settle()
    await server.pass_time(5)
    assert (await server.ticks())[-1] == "12:01:30", "the last missed one, once"
    assert len(await server.calls()) == 6


async def test_a_store_that_is_away_postpones_the_tick(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    server.rig.clock.advance(61)
    server.rig.store.journal.hold()
    looking = asyncio.create_task(server.look())
    await asyncio.sleep(0)
    server.rig.store.journal.release()
    await looking
    await server.pass_time(30)
    assert await server.ticks() == ["12:01:00"]


async def test_a_tick_its_mark_and_its_call_are_kept_together(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(61)
    (stored,) = await server.calls()
    schedule_id = server.only().held.record.id
    mark = await server.rig.store.records.get(ScheduleMark, schedule_id)
    assert mark == server.only().held.mark
    assert mark is not None
    assert (mark.seq, mark.done_at) == (stored.call.seq, server.rig.clock.now() - 1)
    assert await server.rig.store.records.find(Tick, {}) == [Tick(schedule_id, mark.done_at, False, stored.call.seq)]


async def test_the_loop_looks_when_a_schedule_is_made(server: Server) -> None:
    loop = asyncio.create_task(run_schedules(server.schedules, server.rig.clock))
    await asyncio.sleep(0)
    await server.deploy(EVERY_MINUTE)
    server.rig.clock.advance(61)
    server.schedules.news.set()
    await until(lambda: server.only().held.mark.seq > 0, "the first call")
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop
    assert await server.ticks() == ["12:01:00"]
