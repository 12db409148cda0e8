"""Containers from their start to their end, and who is to blame when one goes."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from tests.component.pools.rig import Rig
from yurt.domain.records import AttemptRecord, Container, ContainerState, Outcome
from yurt.ports import ContainerSpec, Ended, EngineRefused, HeldUp, Leaving, Placed, StartFailed
from yurt_runner import wire


async def test_a_lost_container_costs_its_input_nothing_but_time(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    rig.engine.end(box.member.id, "killed by signal 9")
    box.hang_up()
    await rig.settle()
    other = await rig.container()
    (frame,) = other.inputs
    assert json.loads(frame.meta)["number"] == 2
    other.answer(frame)
    result = await rig.result(item)
    assert (result.outcome, result.attempts) == (Outcome.SUCCESS, 2)
    (lost,) = await rig.store.records.find(AttemptRecord, {"seq": item.seq})
    assert (lost.number, lost.outcome, lost.container_id) == (1, Outcome.CONTAINER_LOST, box.member.id)


async def test_the_last_words_of_an_ended_container_count(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    rig.engine.end(box.member.id, exit_code=3)
    box.fail(box.inputs[0], "crashed", exit_code=3)
    box.hang_up()
    result = await rig.result(item)
    assert (result.outcome, result.attempts) == (Outcome.CRASHED, 1)


async def test_the_eighth_loss_ends_the_input(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    for _ in range(8):
        box = await rig.container()
        rig.engine.end(box.member.id)
        box.hang_up()
        await rig.settle()
    result = await rig.result(item)
    assert (result.outcome, result.attempts) == (Outcome.INTERNAL_ERROR, 8)


async def test_an_input_that_lost_a_container_runs_alone(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=1)
    suspect = await rig.call()
    box = await rig.container()
    rig.engine.end(box.member.id)
    box.hang_up()
    await rig.settle()
    pool.mean_run_s = 0.00001
    neighbours = [await rig.call() for _ in range(3)]
    other = await rig.container()
    assert [frame.seq for frame in other.inputs] == [suspect.seq]
    other.answer(other.inputs[0], run_s=0.00001)
    assert [frame.seq for frame in other.inputs[1:]] == [item.seq for item in neighbours]


async def test_only_what_ran_is_blamed_for_a_loss(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    warm = await rig.call()
    box = await rig.container()
    box.answer(box.inputs[0], run_s=0.00001)
    await rig.result(warm)
    ran, ahead = await rig.call(), await rig.call()
    rig.engine.end(box.member.id)
    box.hang_up()
    await rig.settle()
    assert (ran.history.losses, ahead.history.losses) == (1, 0)


async def test_a_silent_container_is_given_up_after_its_lease(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    rig.engine.deaf = True
    await rig.tick(14)
    assert box.talk.is_open
    await rig.tick(2)
    assert box.talk.closed == "fenced"
    assert (await rig.row(box.member.id)).fenced
    frame = box.inputs[0]
    box.answer(frame, "from the dead")
    other = await rig.container()
    assert other.member.id != box.member.id
    other.answer(other.inputs[0], "alive")
    result = await rig.result(item)
    assert result.value is not None
    assert result.value.data == b'"alive"'


async def test_a_beat_renews_the_lease_and_so_does_a_gap_of_the_server(rig: Rig) -> None:
    await rig.deploy(min_containers=1)
    await rig.scale()
    box = await rig.boot()
    await rig.tick(10)
    box.say(wire.BEAT, busy=[], rss_mib=20.5, cpu_s=0.1, silent_s=0)
    await rig.tick(10)
    assert box.member.rss_mib == 20.5
    await rig.tick(100, renew=True)
    assert box.talk.is_open


async def test_three_failed_starts_end_what_is_queued_with_the_reason(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    for wait_s in (1, 2, 0):
        await rig.scale()
        box = await rig.boot(ready=False)
        box.start_failed("no module named nothing")
        box.hang_up()
        await rig.settle()
        started = len(rig.engine.started)
        await rig.tick(wait_s / 2)
        assert len(rig.engine.started) == started, "it tried again too soon"
        await rig.tick(wait_s / 2 + 0.1)
    result = await rig.result(item)
    assert result.outcome == Outcome.INIT_FAILURE
    assert json.loads(result.error_json or b"")["message"] == "no module named nothing"
    later = await rig.call()
    assert later.seq not in rig.results
    await rig.tick(61)
    box = await rig.boot(ready=False)
    box.start_failed()
    assert (await rig.result(later)).outcome == Outcome.INIT_FAILURE


async def test_a_success_forgets_failed_starts(rig: Rig) -> None:
    pool = await rig.deploy()
    await rig.call()
    await rig.scale()
    box = await rig.boot(ready=False)
    box.start_failed()
    box.hang_up()
    await rig.tick(1.1)
    await rig.boot()
    assert pool.startup.failures == 0


async def test_an_engine_that_refuses_is_a_reason_to_wait_and_nothing_else(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    rig.engine.refusal = EngineRefused("no_capacity", "No machine has room.")
    await rig.scale()
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert (reason.code, reason.message) == ("no_capacity", "No machine has room.")
    rig.engine.refusal = None
    await rig.tick(1.1)
    box = await rig.boot()
    box.answer(box.inputs[0])
    assert (await rig.result(item)).attempts == 1


BROKEN = StartFailed({"type": "EnvironmentFailed", "message": "There is no such package."}, final=True)


async def test_a_start_that_would_fail_again_ends_what_is_queued_at_once(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    rig.engine.refusal = BROKEN
    await rig.scale()
    ended = await rig.result(item)
    assert ended.outcome == Outcome.INIT_FAILURE
    assert b"There is no such package." in (ended.error_json or b"")
    assert rig.heart.functions.deploy_error("fu-1") is not None
    assert pool.members == {}
    (row,) = await rig.store.records.find(Container, {})
    assert (row.state, row.end_reason) == ("ended", "There is no such package.")


async def test_a_start_that_may_succeed_next_time_is_tried_again(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    rig.engine.refusal = StartFailed({"type": "EnvironmentFailed", "message": "No answer."}, final=False)
    await rig.scale()
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert (reason.code, pool.startup.failures) == ("crash_backoff", 1)
    assert "EnvironmentFailed: No answer." in reason.message
    rig.engine.refusal = None
    await rig.tick(1.1)
    box = await rig.boot()
    box.answer(box.inputs[0])
    assert (await rig.result(item)).attempts == 1


@dataclass
class Slow:
    """A start that waits for something, as `Engine.start` may; stopping the container ends the wait."""

    rig: Rig
    over: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False

    async def start(self, spec: ContainerSpec) -> str:
        self.rig.engine.report(HeldUp(spec.container_id, EngineRefused("preparing_environment", "It is being made.")))
        await self.over.wait()
        if self.stopped:
            raise EngineRefused("engine_unreachable", "It was stopped.")
        self.rig.engine.report(Placed(spec.container_id))
        self.rig.engine.started.append(spec)
        self.rig.engine.alive.add(spec.container_id)
        return "slow"

    async def stop(self, container_id: str, *, grace_s: float) -> None:
        self.stopped = True
        self.over.set()


async def test_a_start_that_waits_for_its_environment_says_so_and_has_its_whole_time_afterwards(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(rig)
    monkeypatch.setattr(rig.engine, "start", slow.start)
    await rig.deploy(startup_timeout_s=10)
    item = await rig.call()
    await rig.scale()
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert (reason.code, reason.message) == ("preparing_environment", "It is being made.")
    for _ in range(40):
        await rig.tick()
    slow.over.set()
    await rig.settle()
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert reason.code == "container_starting"
    await rig.tick()
    box = await rig.boot()
    box.answer(box.inputs[0])
    assert (await rig.result(item)).attempts == 1


async def test_a_start_that_waits_is_given_up_when_its_revision_is(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(rig)
    with monkeypatch.context() as patch:
        patch.setattr(rig.engine, "start", slow.start)
        patch.setattr(rig.engine, "stop", slow.stop)
        await rig.deploy(max_containers=1)
        item = await rig.call()
        await rig.scale()
    monkeypatch.setattr(rig.engine, "stop", slow.stop)
    pool = await rig.deploy(revision=2, max_containers=1)
    await rig.settle()
    assert slow.stopped
    await rig.scale()
    assert pool.refusal is None
    box = await rig.boot()
    box.answer(box.inputs[0])
    assert (await rig.result(item)).revision == 2


BUSY = EngineRefused("no_capacity", "All 8 H100 are in use.", {"gpu": "H100:1"})


async def test_a_container_without_a_place_is_a_reason_to_wait_and_no_failed_start(rig: Rig) -> None:
    pool = await rig.deploy(startup_timeout_s=20)
    item = await rig.call()
    await rig.scale()
    (spec,) = rig.engine.started
    rig.engine.report(HeldUp(spec.container_id, BUSY))
    await rig.tick(300)
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert (reason.code, reason.message, reason.details) == ("no_capacity", "All 8 H100 are in use.", BUSY.details)
    assert (len(rig.engine.started), rig.engine.stopped, pool.startup.failures) == (1, [], 0)
    rig.engine.report(Placed(spec.container_id))
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert reason.code == "container_starting"
    await rig.tick(19)
    box = await rig.boot()
    box.answer(box.inputs[0])
    assert (await rig.result(item)).attempts == 1


async def test_a_start_that_is_taken_does_not_hide_that_another_has_no_place(rig: Rig) -> None:
    start = rig.engine.start

    async def hold_up_the_first(spec: ContainerSpec) -> str:
        reference = await start(spec)
        if len(rig.engine.started) == 2:
            rig.engine.report(HeldUp(rig.engine.started[0].container_id, BUSY))
        return reference

    rig.engine.start = hold_up_the_first  # type: ignore[method-assign]
    pool = await rig.deploy(min_containers=2)
    await rig.scale()
    await rig.boot(1)
    assert pool.refusal is not None
    rig.engine.report(Placed(rig.engine.started[0].container_id))
    assert pool.refusal is None


async def test_the_time_to_get_ready_begins_with_the_place(rig: Rig) -> None:
    pool = await rig.deploy(startup_timeout_s=20)
    await rig.call()
    await rig.scale()
    (spec,) = rig.engine.started
    rig.engine.report(HeldUp(spec.container_id, BUSY))
    await rig.tick(300)
    rig.engine.report(Placed(spec.container_id))
    await rig.tick(31)
    assert rig.engine.stopped == [spec.container_id]
    assert pool.startup.failures == 1


async def test_a_place_that_nothing_waits_for_is_not_asked_for_any_longer(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    await rig.scale()
    (spec,) = rig.engine.started
    rig.engine.report(HeldUp(spec.container_id, BUSY))
    await rig.tick()
    assert rig.engine.stopped == []
    assert rig.heart.cancel(item, "token")
    await rig.tick()
    assert rig.engine.stopped == [spec.container_id]


async def test_a_container_that_came_to_nothing_for_want_of_an_image_is_tried_again_without_blame(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    for _ in range(5):
        await rig.tick(10.1)
        container_id = rig.engine.started[-1].container_id
        refused = EngineRefused("image_unavailable", "There is no image x:1.")
        rig.engine.report(Ended(container_id, "Driver Failure", refused=refused))
        rig.engine.alive.clear()
        await rig.tick(1)
    assert len(rig.engine.started) == 5
    assert pool.startup.failures == 0
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert reason.code == "image_unavailable"
    assert await rig.store.records.find(Container, {}) == []


async def test_a_refusal_that_lasts_is_logged_once(rig: Rig) -> None:
    await rig.deploy()
    await rig.call()
    with capture_logs() as logs:
        for words in ("It is away.", "It is away.", "It is away.", "It is full."):
            rig.engine.refusal = EngineRefused("engine_unreachable", words)
            await rig.tick(1.1)
    told = [line for line in logs if line["event"].startswith("container_")]
    assert [line["reason"] for line in told] == ["It is away.", "It is full."]


async def test_containers_that_are_taken_away_as_they_start_are_started_again_without_blame(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    for _ in range(4):
        await rig.scale()
        container_id = rig.engine.started[-1].container_id
        rig.engine.report(Ended(container_id, "Its node was lost.", taken_away=True))
        rig.engine.alive.clear()
        await rig.tick()
    assert len({spec.container_id for spec in rig.engine.started}) >= 4
    assert pool.startup.failures == 0
    box = await rig.boot()
    box.answer(box.inputs[0])
    assert (await rig.result(item)).attempts == 1


async def test_a_container_whose_place_goes_away_finishes_and_ends(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    rig.engine.report(Leaving(box.member.id, "its machine is to be emptied"))
    assert [frame.header()["reason"] for frame in box.talk.of(wire.DRAIN)] == ["its machine is to be emptied"]
    box.answer(box.inputs[0])
    assert (await rig.result(item)).attempts == 1


async def test_an_idle_container_is_drained_after_its_window(rig: Rig) -> None:
    await rig.deploy(scaledown_window_s=10)
    item = await rig.call()
    box = await rig.container()
    box.answer(box.inputs[0])
    await rig.result(item)
    for _ in range(9):
        box.say(wire.BEAT)
        await rig.tick(1)
    assert box.talk.of(wire.DRAIN) == []
    await rig.tick(2)
    assert len(box.talk.of(wire.DRAIN)) == 1
    assert (await rig.row(box.member.id)).state == ContainerState.DRAINING
    box.say(wire.BYE, reason="drained")
    rig.engine.end(box.member.id, exit_code=0)
    box.hang_up()
    await rig.settle()
    row = await rig.row(box.member.id)
    assert (row.state, row.end_reason, row.exit_code) == (ContainerState.ENDED, "idle", 0)


async def test_a_drained_container_that_stays_is_stopped(rig: Rig) -> None:
    await rig.deploy(scaledown_window_s=10, timeout_s=20)
    await rig.call()
    box = await rig.container()
    rig.heart.lives.drain(box.pool, box.member, "test")
    for _ in range(26):
        box.say(wire.BEAT)
        await rig.tick(1)
    assert rig.engine.stopped == []
    for _ in range(10):
        box.say(wire.BEAT)
        await rig.tick(1)
    assert rig.engine.stopped == [box.member.id]


async def test_a_new_revision_relieves_the_old_one_when_it_is_ready(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    running = await rig.call()
    old = await rig.container()
    await rig.deploy(revision=2, max_containers=1)
    new = await rig.container()
    assert len(old.talk.of(wire.DRAIN)) == 1
    old.answer(old.inputs[0], "old")
    assert (await rig.result(running)).revision == 1
    item = await rig.call()
    new.answer(new.inputs[0], "new")
    assert (await rig.result(item)).revision == 2


async def test_an_old_revision_serves_on_while_the_new_one_fails_to_start(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    first = await rig.call()
    old = await rig.container()
    old.answer(old.inputs[0])
    await rig.result(first)
    await rig.deploy(revision=2, max_containers=1)
    for _ in range(3):
        await rig.scale()
        broken = await rig.boot(ready=False)
        broken.start_failed("broken")
        broken.hang_up()
        old.say(wire.BEAT)
        await rig.tick(5)
    assert rig.heart.functions.deploy_error("fu-1") is not None
    item = await rig.call()
    old.answer(old.inputs[-1], "still here")
    assert (await rig.result(item)).revision == 1


async def test_a_retired_function_ends_its_inputs_and_its_containers(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    running, queued = await rig.call(), await rig.call()
    box = await rig.container()
    rig.heart.functions.retire("fu-1", by="app_stopped")
    for item in (running, queued):
        result = await rig.result(item)
        assert result.outcome == Outcome.CANCELLED
        assert json.loads(result.error_json or b"")["by"] == "app_stopped"
    await rig.settle()
    assert [frame.seq for frame in box.talk.of(wire.CANCEL)] == [running.seq]
    assert len(box.talk.of(wire.DRAIN)) == 1
    box.fail(box.inputs[0], "cancelled")
    box.say(wire.BYE, reason="drained")
    rig.engine.end(box.member.id)
    box.hang_up()
    await rig.scale()
    assert rig.heart.pools == {}
    assert rig.heart.inputs == {}


async def test_a_cancelled_input_keeps_its_slot_until_it_has_stopped(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    running, waiting = await rig.call(), await rig.call()
    box = await rig.container()
    assert rig.heart.cancel(running, "token")
    assert (await rig.result(running)).outcome == Outcome.CANCELLED
    assert len(box.inputs) == 1
    box.fail(box.inputs[0], "cancelled")
    assert [frame.seq for frame in box.inputs] == [running.seq, waiting.seq]
    assert not rig.heart.cancel(running, "token")


async def test_an_input_that_cannot_be_stopped_ends_with_its_container(rig: Rig) -> None:
    await rig.deploy(timeout_s=3)
    item = await rig.call()
    box = await rig.container()
    box.say(wire.STARTED, item.seq, item.token, for_s=0.01)
    for _ in range(14):
        box.say(wire.BEAT)
        await rig.tick(1)
    result = await rig.result(item)
    assert result.outcome == Outcome.TIMEOUT
    assert json.loads(result.error_json or b"")["limit_s"] == 3
    assert (await rig.row(box.member.id)).fenced


async def test_a_start_that_takes_too_long_fails(rig: Rig) -> None:
    pool = await rig.deploy(startup_timeout_s=5)
    await rig.call()
    await rig.scale()
    await rig.tick(16)
    assert pool.startup.failures == 1
    assert rig.engine.stopped == [rig.engine.started[0].container_id]


async def test_reasons_to_wait(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    first = await rig.call()
    reason = rig.heart.pending_reason(first)
    assert reason is not None
    await rig.scale()
    reason = rig.heart.pending_reason(first)
    assert reason is not None
    assert reason.code == "container_starting"
    await rig.boot()
    assert rig.heart.pending_reason(first) is None
    second, third = await rig.call(), await rig.call()
    reason = rig.heart.pending_reason(third)
    assert reason is not None
    assert (reason.code, reason.ahead) == ("max_containers", 1)
    assert second.running is False


async def test_many_starts_leave_turns_of_the_loop_to_others(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    seen: list[int] = []
    start = rig.engine.start

    async def counted(spec: ContainerSpec) -> str:
        seen.append(turns)
        return await start(spec)

    monkeypatch.setattr(rig.engine, "start", counted)
    await rig.deploy(min_containers=20, max_containers=20)
    rig.heart.functions.scale(list(rig.heart.pools.values()))
    await rig.store.journal.flush()
    while len(seen) < 20:
        turns += 1
        await asyncio.sleep(0)
        assert turns < 1000
    assert len(set(seen)) == 20
