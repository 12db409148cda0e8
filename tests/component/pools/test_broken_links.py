"""Connections that break at the wrong moment, and containers that will not go."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from tests.component.pools.rig import Played, Rig, Talk
from yurt.domain.endings import Ending
from yurt.domain.functions import Scaling
from yurt.domain.records import Container, ContainerState, Outcome
from yurt.pools.inputs import NewCall
from yurt.pools.sessions import SessionRefused
from yurt.ports import EngineRefused
from yurt_runner import wire


async def test_an_input_that_never_arrived_is_sent_again(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    lost = box.inputs[0]
    box.hang_up()
    talk = await box.reconnect([])
    (again,) = talk.of(wire.INPUT)
    assert (again.seq, json.loads(again.meta)["number"]) == (item.seq, 1)
    assert again.token > lost.token
    assert [frame.kind for frame in talk.frames[:2]] == [wire.WELCOME, wire.INPUT]


async def test_a_cancel_that_never_arrived_is_sent_again(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    await box.reconnect([[frame.seq, frame.token, 1, 2.0, False]])  # its token is settled: nothing more to commit
    box.hang_up()
    rig.store.journal.hold()
    rig.heart.cancel(item, "token")
    talk = await box.reconnect([[frame.seq, frame.token, 1, 3.0, False]])
    rig.store.journal.release()
    assert [one.seq for one in talk.of(wire.CANCEL)] == [item.seq]


async def test_of_two_instances_that_say_hello_together_one_is_taken(rig: Rig) -> None:
    await rig.deploy(min_containers=1)
    await rig.scale()
    spec = rig.engine.started[0]
    hellos = [rig.greet(spec.container_id, spec.start_token, f"instance-number-{n}") for n in range(2)]
    first, second = await asyncio.gather(*hellos, return_exceptions=True)
    assert isinstance(first, Talk)
    assert isinstance(second, SessionRefused)


async def test_the_answer_to_a_cancelled_input_is_acknowledged_after_the_commit(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    rig.store.journal.hold()
    rig.heart.cancel(item, "token")
    box.fail(box.inputs[0], "cancelled")
    assert box.talk.acked == []
    rig.store.journal.release()
    await rig.result(item)
    assert box.talk.acked == [(item.seq, box.inputs[0].token)]


async def test_an_input_that_is_cancelled_while_its_claim_is_given_up_does_not_run(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    box.say(wire.STARTED, item.seq, item.token, for_s=2.0)
    await rig.tick(1)
    rig.store.journal.hold()
    box.say(wire.RETURN, frame.seq, frame.token)
    rig.heart.cancel(item, "token")
    rig.store.journal.release()
    await rig.result(item)
    assert len(box.inputs) == 1


async def test_a_container_that_is_told_to_end_while_it_starts_gets_nothing(rig: Rig) -> None:
    pool = await rig.deploy()
    await rig.call()
    await rig.scale()
    box = await rig.boot(ready=False)
    rig.engine.deaf = True
    rig.lives.drain(pool, box.member, "stopped by a caller", grace_s=30)
    box.say(wire.READY, slots=1, startup_s=0.1)
    assert box.inputs == []
    assert (await rig.row(box.member.id)).state == ContainerState.DRAINING


async def test_a_container_that_does_not_end_is_stopped_again(rig: Rig) -> None:
    await rig.deploy(min_containers=1)
    await rig.scale()
    box = await rig.boot()
    rig.engine.deaf = True
    box.say(wire.BYE, reason="drained")
    for _ in range(70):
        box.say(wire.BEAT)
        await rig.tick(1)
    assert rig.engine.stopped.count(box.member.id) == 2


async def test_a_terminated_container_gets_no_further_input(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    first = await rig.call()
    await rig.call()
    box = await rig.container()
    rig.engine.deaf = True
    rig.lives.stop(box.pool, box.member, grace_s=0)
    rig.heart.cancel(first, "token")
    box.fail(box.inputs[0], "cancelled")
    assert len(box.inputs) == 1


async def test_a_broken_link_does_not_cost_a_drained_container_its_grace(rig: Rig) -> None:
    await rig.deploy(timeout_s=100)
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    box.hang_up()
    rig.lives.drain(box.pool, box.member, "a newer revision serves")
    await rig.settle()
    assert rig.engine.stopped == []
    talk = await box.reconnect([[frame.seq, frame.token, 1, 1.0, False]])
    assert len(talk.of(wire.DRAIN)) == 1
    Played(rig, box.pool, box.member, talk, "").answer(frame)
    assert (await rig.result(item)).attempts == 1


async def test_an_input_that_must_run_alone_does_not_wait_for_a_quiet_hour(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=2)
    await rig.call()
    suspect = await rig.call()
    await rig.scale()
    busy, broken = await rig.boot(0), await rig.boot(1)
    if broken.inputs[0].seq != suspect.seq:
        busy, broken = broken, busy
    rig.heart.functions.rescale("fu-1", Scaling(max_containers=1))
    pool.mean_run_s = 0.00001
    for _ in range(5):
        await rig.call()
    rig.engine.end(broken.member.id)
    broken.hang_up()
    await rig.settle()
    for answered in range(60):
        await rig.call()
        busy.answer(busy.inputs[answered], run_s=0.00001)
        if busy.inputs[answered].seq == suspect.seq:
            break
    assert suspect.seq in {frame.seq for frame in busy.inputs}


async def test_while_the_engine_is_away_calls_wait_for_it_and_nothing_is_written(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=5)
    items = [await rig.call() for _ in range(5)]
    rig.engine.gone = EngineRefused("engine_unreachable", "It is away.")
    with capture_logs() as logs:
        await rig.tick()
        written = rig.store.journal.stats().changes
        for _ in range(10):
            await rig.tick()
            reason = rig.heart.pending_reason(items[0])
            assert reason is not None
            assert (reason.code, reason.message) == ("engine_unreachable", "It is away.")
    assert rig.store.journal.stats().changes == written
    assert [line["event"] for line in logs] == ["container_refused"]
    assert pool.startup.failures == 0
    rig.engine.gone = None
    await rig.tick(1.1)
    assert len(rig.engine.started) == 1


async def test_refused_starts_are_tried_one_at_a_time_and_leave_no_rows(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=5)
    items = [await rig.call() for _ in range(5)]
    rig.engine.refusal = EngineRefused("no_capacity", "No machine has room.")
    await rig.scale()
    refused = await rig.store.records.find(Container, {})
    assert refused == []
    rig.engine.refusal = None
    await rig.tick(1.1)
    assert len(rig.engine.started) == 1
    await rig.scale()
    assert len(rig.engine.started) == 5
    rig.engine.refusal = EngineRefused("no_capacity", "No machine has room.")
    rig.heart.functions.rescale("fu-1", Scaling(max_containers=6))
    for item in items:
        rig.heart.cancel(item, "token")
    await rig.scale()
    assert pool.refusal is None


async def test_a_paused_function_is_paused_during_a_redeploy_too(rig: Rig) -> None:
    await rig.deploy(min_containers=1, max_containers=1)
    await rig.scale()
    box = await rig.boot()
    await rig.deploy(revision=2, max_containers=1)
    rig.heart.functions.rescale("fu-1", Scaling(max_containers=0))
    await rig.scale()
    assert len(box.talk.of(wire.DRAIN)) == 1


async def test_two_quick_redeploys_leave_the_last_revision(rig: Rig) -> None:
    await rig.deploy(min_containers=1, max_containers=1)
    await rig.scale()
    await rig.boot()
    for revision in (2, 3):
        await rig.deploy(revision=revision, min_containers=1, max_containers=1)
        await rig.scale()
        await rig.scale()  # the one before has ended meanwhile: only one more than the maximum may live
    assert [spec.function.revision for spec in rig.engine.started] == [1, 2, 3]
    await rig.boot()
    await rig.scale()
    assert [m.function.revision for _, m in rig.lives if m.state is ContainerState.READY] == [3]


async def test_an_older_revision_goes_after_a_restart_in_between(rig: Rig) -> None:
    await rig.deploy(max_containers=2)
    await rig.call()
    await rig.call()
    await rig.scale()
    old, new = await rig.boot(0), await rig.boot(1)
    pool = await rig.deploy(revision=2, max_containers=2)
    new.member.function = pool.live
    await rig.scale()
    assert old.member.state is ContainerState.DRAINING


async def test_a_failing_revision_ends_what_waits_once_the_older_one_is_gone(rig: Rig) -> None:
    pool = await rig.deploy(min_containers=1)
    await rig.scale()
    old = await rig.boot()
    await rig.deploy(revision=2)
    pool.startup = pool.startup.failed(0).failed(0)
    rig.lives.drain(pool, old.member, "stopped by a caller")
    item = await rig.call()
    await rig.scale()
    broken = await rig.boot(ready=False)
    broken.start_failed("broken")
    assert (await rig.result(item)).outcome == Outcome.INIT_FAILURE
    assert isinstance(rig.heart.functions.deploy_error("fu-1"), Ending)


async def test_large_arguments_are_not_sent_ahead(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=1)
    warm = await rig.call()
    box = await rig.container()
    box.answer(box.inputs[0], run_s=0.00001)
    await rig.result(warm)
    blob = await rig.blobs.put(b"{}")
    for _ in range(3):
        rig.heart.accept(pool.live, NewCall("invoke", "tk-1", None, blob), lambda _: (), lambda error: None)
    await rig.settle()
    assert len(box.member.held) == 1
    assert len(pool.queue) == 2


@pytest.mark.parametrize("size", [1, 700_000])
def test_messages_are_bounded_and_keep_their_order(size: int) -> None:
    frames = [bytes([n]) * size for n in range(5)]
    whole = b"".join(frames)
    messages = list(wire.messages(frames, 1 << 20))
    assert b"".join(messages) == whole
    assert all(len(message) <= 1 << 20 for message in messages)
    assert len(messages) == (1 if size == 1 else 5)
