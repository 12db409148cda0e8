"""What becomes of schedules when functions are deployed again, changed, deleted and stopped; pausing, and running."""

import asyncio
from typing import Any

import pytest

from tests.component.schedules.conftest import EVERY_MINUTE, ROOT, Server, plain, restart
from yurt.domain.changes import Save
from yurt.domain.errors import Invalid, NotFound
from yurt.domain.records import Role, Schedule, ScheduleMark
from yurt.usecases.principals import Principal

EVERY_HOUR = {"period": {"hours": 1}}


def found(server: Server) -> list[str]:
    return [view.held.record.id for view in server.schedules.find(ROOT, limit=9)]


async def kept(server: Server) -> list[Any]:
    records = server.rig.store.records
    return [*await records.find(Schedule, {}), *await records.find(ScheduleMark, {})]


async def test_a_deploy_that_changes_nothing_leaves_a_period_alone(server: Server) -> None:
    await server.deploy(EVERY_HOUR)
    before = server.only()
    await server.pass_time(1800, step=600)
    await server.deploy(EVERY_HOUR)
    assert server.only() == before


async def test_a_new_revision_begins_a_period_anew_and_leaves_cron_alone(server: Server) -> None:
    await server.functions.put_all(
        ROOT, "demo", {"work": plain(schedule=EVERY_HOUR), "other": plain(schedule={"cron": "0 * * * *"})}
    )
    before = set(found(server))
    await server.pass_time(1800, step=600)
    new = {"memory": 640}
    await server.functions.put_all(
        ROOT, "demo", {"work": plain(schedule=EVERY_HOUR, **new), "other": plain(schedule={"cron": "0 * * * *"}, **new)}
    )
    assert set(found(server)) == before
    now = server.rig.clock.now()
    assert sorted(view.next_at or 0 for view in server.schedules.find(ROOT, limit=9)) == [now + 1800, now + 3600]
    await server.pass_time(3600, step=600)
    assert await server.ticks() == ["13:00:00", "13:30:00"]


async def test_a_changed_schedule_is_another_one(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(61)
    (old,) = found(server)
    await server.schedules.pause(ROOT, old)
    await server.deploy(EVERY_MINUTE | {"timezone": "Europe/Berlin"})
    (new,) = found(server)
    assert new != old
    assert server.only().held.active
    with pytest.raises(NotFound):
        server.schedules.get(ROOT, old)
    assert [record.id for record in await server.rig.store.records.find(Schedule, {})] == [new]
    await server.pass_time(60)
    assert await server.ticks() == ["12:01:00", "12:02:00"]


@pytest.mark.parametrize("how", ["left out", "deleted", "pruned", "stopped", "rolled back"])
async def test_a_schedule_goes_with_what_it_was_for(server: Server, how: str) -> None:
    await server.deploy(None)
    await server.deploy(EVERY_MINUTE)
    await server.pass_time(61)
    match how:
        case "left out":
            await server.deploy(None)
        case "deleted":
            await server.functions.delete(ROOT, "demo:work")
        case "pruned":
            await server.functions.put_all(ROOT, "demo", {}, prune=True)
        case "stopped":
            await server.apps.stop(ROOT, "demo")
        case "rolled back":
            await server.functions.rollback(ROOT, "demo:work", 1)
    assert found(server) == []
    assert await kept(server) == []
    await server.pass_time(120)
    assert await server.ticks() == ["12:01:00"]
    again = await restart(server)
    await again.pass_time(60)
    assert found(again) == []


async def test_what_an_older_release_left_is_cleared_away(server: Server) -> None:
    orphan = Schedule("sc-1", "fu-1", "ap-1", "main", '{"cron":"* * * * *"}', 1.0, 1.0, 1.0)
    marks = [Save(ScheduleMark(schedule_id, 1.0, 1)) for schedule_id in ("sc-1", "sc-2")]
    await server.rig.store.journal.write(Save(orphan), *marks)
    again = await restart(server)
    assert found(again) == []
    assert await kept(again) == []


async def test_a_paused_schedule_does_nothing_and_makes_up_for_nothing(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    (schedule_id,) = found(server)
    paused = await server.schedules.pause(ROOT, schedule_id)
    assert (paused.held.active, paused.next_at) == (False, None)
    since = paused.held.record.paused_at
    await server.pass_time(100)
    assert (await server.schedules.pause(ROOT, schedule_id)).held.record.paused_at == since
    again = await restart(server, down_s=100)
    await again.deploy(EVERY_MINUTE, memory=640)
    await again.pass_time(60)
    assert found(again) == [schedule_id]
    assert await again.calls() == []
    resumed = await again.schedules.resume(ROOT, schedule_id)
    assert resumed.held.active
    assert resumed.next_at is not None
    await again.look()
    assert await again.calls() == []
    await again.schedules.resume(ROOT, schedule_id)
    await again.pass_time(60)
    assert await again.ticks() == ["12:05:00"]


async def test_a_resumed_period_keeps_its_step(server: Server) -> None:
    await server.deploy(EVERY_HOUR)
    (schedule_id,) = found(server)
    await server.schedules.pause(ROOT, schedule_id)
    await server.pass_time(2.5 * 3600, step=600)
    assert (await server.schedules.resume(ROOT, schedule_id)).next_at == server.rig.clock.now() + 1800


async def test_a_schedule_runs_when_it_is_told_to(server: Server) -> None:
    await server.deploy(EVERY_MINUTE | {"overlap": "skip"})
    (schedule_id,) = found(server)
    server.rig.clock.advance(0.5)
    begun = await server.schedules.run(ROOT, schedule_id)
    await server.schedules.pause(ROOT, schedule_id)
    server.rig.clock.advance(0.5)
    again = await server.schedules.run(ROOT, schedule_id)
    assert [tick.seq for tick in await server.schedules.recent(schedule_id)] == [again.seq, begun.seq]
    assert all(tick.manual for tick in await server.schedules.recent(schedule_id))
    assert server.only().held.mark.seq == again.seq
    assert await server.ticks() == [None, None]


async def test_a_run_by_hand_takes_no_tick_away(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    server.rig.clock.advance(60)
    await server.schedules.run(ROOT, server.only().held.record.id)
    await server.look()
    assert await server.ticks() == [None, "12:01:00"]


async def test_a_run_by_hand_does_not_hide_a_tick_that_was_missed(server: Server) -> None:
    await server.deploy(EVERY_MINUTE)
    server.rig.clock.advance(70)
    await server.schedules.run(ROOT, server.only().held.record.id)
    again = await restart(server)
    await again.look()
    assert await again.ticks() == [None, "12:01:00"]


async def test_in_an_ephemeral_app_it_runs_only_when_it_is_told_to(server: Server) -> None:
    await server.apps.create(ROOT, name="trial", ttl_s=3600)
    deployed = await server.functions.put_all(ROOT, "trial", {"work": plain(schedule=EVERY_MINUTE)})
    assert [(warned.code, warned.pointer) for warned in deployed.warnings] == [
        ("schedule_inactive", "/functions/work/schedule")
    ]
    await server.pass_time(120)
    again = await restart(server)
    await again.pass_time(120)
    assert await again.calls() == []
    assert again.only().next_at is None
    await again.schedules.run(ROOT, again.only().held.record.id)
    assert len(await again.calls()) == 1
    await again.apps.expire(again.rig.clock.now() + 7200)
    assert await kept(again) == []


async def test_who_sees_one_environment_sees_its_schedules_alone(server: Server) -> None:
    await server.registry.environments.put(ROOT, "staging")
    await server.apps.create(ROOT, name="demo", environment="staging")
    staging = Principal("tk-staging", Role.DEPLOY, "staging")
    await server.deploy(EVERY_MINUTE)
    await server.functions.put_all(staging, "demo", {"work": plain(schedule=EVERY_MINUTE)})
    (mine,) = server.schedules.find(staging, limit=9)
    assert mine.held.record.environment == "staging"
    (other,) = set(found(server)) - {mine.held.record.id}
    with pytest.raises(NotFound):
        await server.schedules.pause(staging, other)
    with pytest.raises(NotFound):
        await server.schedules.run(staging, other)


async def test_schedules_come_in_pages(server: Server) -> None:
    for number in range(5):
        server.rig.clock.advance(1)
        await server.functions.put_all(ROOT, "demo", {f"f{number}": plain(schedule=EVERY_MINUTE)})
    everything = found(server)
    assert everything == sorted(everything, reverse=True)
    page = server.schedules.find(ROOT, before=everything[1], limit=2)
    assert [view.held.record.id for view in page] == everything[2:4]


@pytest.mark.parametrize(("entrypoint", "wrong"), [("main:needs", True), ("main:work", False)])
async def test_a_scheduled_function_must_do_without_arguments(server: Server, entrypoint: str, *, wrong: bool) -> None:
    definition = plain(schedule=EVERY_MINUTE, entrypoint=entrypoint)
    if not wrong:
        await server.functions.put_all(ROOT, "demo", {"work": definition})
        return
    with pytest.raises(Invalid) as caught:
        await server.functions.put_all(ROOT, "demo", {"work": definition})
    (error,) = caught.value.errors
    assert error.pointer == "/functions/work/schedule"
    assert "give a default to x, y" in error.message


async def test_many_schedules_tick_together(server: Server) -> None:
    names = [f"f{number}" for number in range(30)]
    await server.functions.put_all(ROOT, "demo", {name: plain(schedule=EVERY_MINUTE) for name in names})
    await server.pass_time(61)
    assert await server.ticks() == ["12:01:00"] * 30


@pytest.mark.parametrize("how", ["paused", "stopped"])
async def test_a_schedule_that_is_changed_while_the_store_is_asked(server: Server, how: str) -> None:
    await server.deploy(EVERY_MINUTE | {"overlap": "skip"})
    await server.schedules.run(ROOT, server.only().held.record.id)
    server.rig.clock.advance(61)
    looking = asyncio.create_task(server.look())
    await asyncio.sleep(0)
    if how == "paused":
        await server.schedules.pause(ROOT, server.only().held.record.id)
    else:
        await server.apps.stop(ROOT, "demo")
    await looking
    assert await server.ticks() == [None]
    again = await restart(server)
    assert len(await kept(again)) == (2 if how == "paused" else 0)
