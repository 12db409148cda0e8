"""Failed attempts are made again by the server, also by its next life."""

import json

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.records import Progress
from yurt.domain.retry import RetryPolicy
from yurt_runner import wire


async def test_a_failed_attempt_is_made_again_and_then_its_result_counts(rig: Rig) -> None:
    await rig.deploy(retries=RetryPolicy(2, initial_delay_s=0))
    item = await rig.call()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error", message="no luck")
    await rig.settle()
    box.answer(box.inputs[1], 7)
    result = await rig.result(item)
    assert (result.outcome, result.attempts) == ("success", 2)
    assert [json.loads(frame.meta)["number"] for frame in box.inputs] == [1, 2]
    assert box.talk.acked == [(frame.seq, frame.token) for frame in box.inputs]
    (first,) = await rig.store.calls.attempts(item.seq)
    assert (first.number, first.outcome, first.message) == (1, "user_error", "Oops: no luck")


@pytest.mark.parametrize("outcome", ["user_error", "timeout", "crashed", "out_of_memory"])
async def test_the_last_failure_ends_the_input(rig: Rig, outcome: str) -> None:
    await rig.deploy(retries=RetryPolicy(2, initial_delay_s=0))
    item = await rig.call()
    box = await rig.container()
    for number in range(3):
        box.fail(box.inputs[number], outcome)
        await rig.settle()
    result = await rig.result(item)
    assert (result.outcome, result.attempts, len(box.inputs)) == (outcome, 3, 3)


async def test_nothing_is_dispatched_nor_acknowledged_before_the_failure_is_committed(rig: Rig) -> None:
    await rig.deploy(retries=RetryPolicy(1, initial_delay_s=0))
    item = await rig.call()
    box = await rig.container()
    rig.store.journal.hold()
    box.fail(box.inputs[0], "user_error")
    assert (len(box.inputs), box.talk.acked) == (1, [])
    rig.store.journal.release()
    await rig.settle()
    assert (len(box.inputs), len(box.talk.acked)) == (2, 1)
    (progress,) = await rig.store.records.find(Progress, {})
    assert progress == Progress(item.seq, 2, 1, 0, box.inputs[0].token + 1)


async def test_a_retry_waits_its_delay_says_so_and_blocks_nobody(rig: Rig) -> None:
    pool = await rig.deploy(retries=RetryPolicy(3, initial_delay_s=4, backoff_coefficient=2), max_containers=1)
    item = await rig.call()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error")
    await rig.settle()
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert (reason.code, reason.retry_at) == ("retry_backoff", rig.clock.now() + 4)
    other = await rig.call()
    box.answer(box.inputs[1])
    await rig.result(other)
    await rig.tick(3.9)
    assert len(box.inputs) == 2
    await rig.tick(0.2)
    box.fail(box.inputs[2], "user_error")
    await rig.tick(7.9)
    assert len(box.inputs) == 3
    await rig.tick(0.2)
    assert json.loads(box.inputs[3].meta)["number"] == 3
    assert not pool.parked


async def test_the_next_life_goes_on_counting(rig: Rig) -> None:
    pool = await rig.deploy(retries=RetryPolicy(1, initial_delay_s=0.5))
    item = await rig.call()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error")
    await rig.settle()
    rig.engine.alive.clear()
    await rig.reopen(pool)
    box = await rig.container()
    assert json.loads(box.inputs[0].meta)["number"] == 2
    box.fail(box.inputs[0], "user_error")
    assert (await rig.result(item)).attempts == 2


async def test_cancelling_ends_an_input_that_waits_for_its_retry(rig: Rig) -> None:
    pool = await rig.deploy(retries=RetryPolicy(3, initial_delay_s=5))
    item = await rig.call()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error")
    await rig.settle()
    assert rig.heart.cancel(item, "token")
    result = await rig.result(item)
    assert (result.outcome, result.attempts) == ("cancelled", 1)
    await rig.tick(6)
    assert (len(box.inputs), len(pool.parked)) == (1, 0)


async def test_a_cancel_and_the_commit_of_a_failure_at_once(rig: Rig) -> None:
    await rig.deploy(retries=RetryPolicy(3, initial_delay_s=0))
    item = await rig.call()
    box = await rig.container()
    rig.store.journal.hold()
    box.fail(box.inputs[0], "user_error")
    assert rig.heart.cancel(item, "token")
    rig.store.journal.release()
    result = await rig.result(item)
    assert (result.outcome, result.attempts, len(box.inputs)) == ("cancelled", 1, 1)


async def test_an_attempt_that_cannot_be_stopped_uses_a_retry_too(rig: Rig) -> None:
    await rig.deploy(retries=RetryPolicy(1, initial_delay_s=0), timeout_s=3)
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    box.say(wire.STARTED, frame.seq, frame.token, for_s=0.01)
    for _ in range(14):
        box.say(wire.BEAT)
        await rig.tick(1)
    assert (await rig.row(box.member.id)).fenced
    (first,) = await rig.store.calls.attempts(item.seq)
    assert (first.outcome, first.number) == ("timeout", 1)
    box = await rig.boot()
    assert json.loads(box.inputs[0].meta)["number"] == 2
    box.answer(box.inputs[0])
    assert (await rig.result(item)).attempts == 2


async def test_who_follows_a_call_is_told_that_it_waits_for_its_retry(rig: Rig) -> None:
    await rig.deploy(retries=RetryPolicy(1, initial_delay_s=5))
    item = await rig.call()
    box = await rig.container()
    codes: list[str | None] = []

    def look() -> None:
        reason = rig.heart.pending_reason(rig.heart.inputs.get(item.seq, item))
        codes.append(None if reason is None else reason.code)

    with rig.heart.followers.watching(item.seq, look):
        box.fail(box.inputs[0], "user_error")
        await rig.settle()
        assert codes[-1] == "retry_backoff"
        await rig.tick(5.1)
        assert codes[-1] is None
