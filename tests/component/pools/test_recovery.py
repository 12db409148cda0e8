"""The server is killed and starts again: what runs goes on, and nothing runs twice that need not."""

import pytest

from tests.component.pools.rig import Played, Rig
from yurt.domain.errors import Unauthenticated
from yurt.domain.records import Claim
from yurt_runner import wire


async def again(rig: Rig, box: Played, holds: list[list[object]]) -> Played:
    """The container dials the new server."""
    talk = await box.reconnect(holds)
    entry = rig.lives.get(box.member.id)
    assert entry is not None
    return Played(rig, *entry, talk, box.credential)


async def test_a_running_input_is_adopted_and_not_run_again(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    await rig.reopen(pool)
    box = await again(rig, box, [[frame.seq, frame.token, 1, 4.5, False]])
    await rig.tick(10)
    assert box.inputs == []
    assert len(rig.engine.started) == 1
    box.answer(frame, "from before")
    result = await rig.result(item)
    assert (result.value and result.value.data, result.attempts) == (b'"from before"', 1)


async def test_a_finished_one_is_taken_from_the_resent_output(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    await rig.reopen(pool)
    box = await again(rig, box, [[frame.seq, frame.token, 1, None, True]])
    box.answer(frame, "done")
    result = await rig.result(item)
    assert result.value is not None
    assert box.talk.acked == [(frame.seq, frame.token)]


async def test_inputs_wait_for_containers_that_have_not_called_yet(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    await rig.container()
    pool = await rig.reopen(pool)
    await rig.tick(1)
    assert item.seq in pool.recovering
    reason = rig.heart.pending_reason(rig.heart.inputs[item.seq])
    assert reason is not None
    assert reason.code == "recovering"
    await rig.tick(5)
    assert item.seq not in pool.recovering
    assert len(pool.queue) == 1


async def test_they_go_at_once_when_every_container_has_called(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=1)
    held, free = await rig.call(), await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    pool = await rig.reopen(pool)
    box = await again(rig, box, [[frame.seq, frame.token, 1, 0.5, False]])
    assert held.seq not in pool.recovering
    assert free.seq not in pool.recovering
    box.answer(frame)
    await rig.result(held)
    assert [one.seq for one in box.inputs] == [free.seq]


async def test_a_claimed_input_waits_for_its_container_until_the_lease_ends(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    box.say(wire.STARTED, item.seq, item.token, for_s=1.5)
    await rig.tick(1)
    assert await rig.store.records.get(Claim, item.seq) is not None
    pool = await rig.reopen(pool)
    await rig.tick(6)
    assert item.seq in pool.recovering
    await rig.tick(10)
    assert item.seq not in pool.recovering
    await rig.store.journal.flush()
    assert await rig.store.records.get(Claim, item.seq) is None


async def test_an_attempt_that_was_given_up_cannot_speak_after_a_restart(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    rig.engine.deaf = True
    await rig.tick(16)
    await rig.reopen(pool)
    with pytest.raises(Unauthenticated):
        await box.reconnect([[frame.seq, frame.token, 1, 20.0, False]])
    assert item.seq not in rig.results


async def test_a_returned_attempt_is_not_adopted(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    await rig.reopen(pool)
    other = rig.heart.inputs[item.seq]
    other.min_token = frame.token + 1
    box = await again(rig, box, [[frame.seq, frame.token, 1, 0.5, False]])
    assert [one.seq for one in box.talk.of(wire.CANCEL)] == [item.seq]


async def test_what_was_acknowledged_as_cancelled_stays_cancelled(rig: Rig) -> None:
    pool = await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    rig.heart.cancel(item, "token")
    await rig.result(item)
    await rig.reopen(pool)
    box = await again(rig, box, [[frame.seq, frame.token, 1, 0.5, False]])
    assert [one.seq for one in box.talk.of(wire.CANCEL)] == [item.seq]
    box.answer(frame, "too late")
    assert box.talk.acked == [(frame.seq, frame.token)]
    stored = await rig.store.calls.get(item.seq)
    assert stored is not None
    assert stored.result is not None
    assert stored.result.outcome == "cancelled"
