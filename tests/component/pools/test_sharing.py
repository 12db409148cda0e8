"""Inputs that share a container: several at once, and batches."""

import json
from collections import Counter
from functools import partial
from typing import Any

import pytest

from tests.component.pools.rig import Played, Rig
from tests.waiting import until
from yurt.domain.batches import Batches
from yurt.domain.records import Outcome
from yurt.domain.retry import RetryPolicy
from yurt.pools.inputs import Input, NewCall
from yurt.pools.queue import Window
from yurt.pools.scaling import sample_of
from yurt_runner import wire


async def calls(rig: Rig, count: int, caller: str = "tk-1") -> list[Input]:
    return [await rig.call(caller) for _ in range(count)]


def held(*boxes: Played) -> list[int]:
    return [len(box.member.held) for box in boxes]


# Several at once.


async def test_a_container_gets_as_many_inputs_as_it_runs_at_once(rig: Rig) -> None:
    await rig.deploy(max_inputs=3, max_containers=1)
    await calls(rig, 5)
    box = await rig.container()
    assert len(box.inputs) == 3
    box.answer(box.inputs[1])
    assert len(box.inputs) == 4
    welcome = json.loads(box.talk.of(wire.WELCOME)[0].meta)
    assert (welcome["slots"], welcome["batching"]) == (3, None)


async def test_containers_fill_up_to_their_target_before_any_goes_beyond(rig: Rig) -> None:
    await rig.deploy(max_inputs=4, target_inputs=2, min_containers=2, max_containers=2)
    await rig.scale()
    boxes = [await rig.boot(0), await rig.boot(1)]
    await calls(rig, 4)
    assert held(*boxes) == [2, 2]
    await calls(rig, 4)
    assert held(*boxes) == [4, 4]
    await calls(rig, 1)
    assert held(*boxes) == [4, 4]
    boxes[0].answer(boxes[0].inputs[0])
    assert held(*boxes) == [4, 4], "who waits takes a slot beyond the target"
    for box in boxes:
        for frame in box.inputs[:3]:
            box.answer(frame)
    await calls(rig, 1)
    assert sum(held(*boxes)) == 4


async def test_what_runs_above_the_target_starts_a_container(rig: Rig) -> None:
    await rig.deploy(max_inputs=4, target_inputs=2, max_containers=3)
    await calls(rig, 1)
    box = await rig.container()
    await calls(rig, 1)
    await rig.scale()
    assert len(rig.engine.started) == 1
    await calls(rig, 1)
    assert len(box.inputs) == 3, "it bursts meanwhile"
    await rig.scale()
    assert len(rig.engine.started) == 2


async def test_neighbours_of_a_lost_container_each_run_again_alone(rig: Rig) -> None:
    await rig.deploy(max_inputs=3, max_containers=1)
    items = await calls(rig, 3)
    box = await rig.container()
    assert len(box.inputs) == 3
    box.say(wire.BYE, reason="worker_exited", exit_code=3)
    box.hang_up()
    rig.engine.end(box.member.id, "died")
    await rig.settle()

    again = await rig.container()
    assert [frame.seq for frame in again.inputs] == [items[0].seq]
    for _ in items:
        again.answer(again.inputs[-1])
        await rig.settle()
    assert [frame.seq for frame in again.inputs] == [item.seq for item in items]


async def test_neighbours_of_a_forced_cancel_wait_again_without_blame(rig: Rig) -> None:
    await rig.deploy(max_inputs=3, max_containers=1)
    items = await calls(rig, 3)
    box = await rig.container()
    rig.heart.cancel(items[1], "caller")
    for frame in (box.inputs[0], box.inputs[2]):
        box.say(wire.STARTED, frame.seq, frame.token, for_s=2.0)
        box.say(wire.RETURN, frame.seq, frame.token)
    box.fail(box.inputs[1], "cancelled")

    assert (await rig.result(items[1])).outcome == "cancelled"
    assert [(item.history.number, item.history.losses) for item in (items[0], items[2])] == [(1, 0), (1, 0)]


# Batches.


async def batched(rig: Rig, size: int = 4, wait_s: float = 0.5, **more: Any) -> None:
    await rig.deploy(**{"batches": Batches(size, wait_s), "max_containers": 1, **more})


def batches(box: Played) -> list[list[int]]:
    """The numbers of the inputs of each batch that a container was given."""
    found: list[list[int]] = [[]]
    for frame in box.inputs:
        found[-1].append(frame.seq)
        if not frame.flags & wire.MORE:
            found.append([])
    assert found.pop() == []
    return found


def sizes(box: Played) -> list[int]:
    return [len(batch) for batch in batches(box)]


async def test_a_batch_leaves_when_it_is_full(rig: Rig) -> None:
    await batched(rig, wait_s=600)
    items = await calls(rig, 3)
    box = await rig.container()
    assert box.inputs == []
    items += await calls(rig, 1)

    assert batches(box) == [[item.seq for item in items]]
    welcome = json.loads(box.talk.of(wire.WELCOME)[0].meta)
    assert (welcome["slots"], welcome["batching"]) == (1, {"max_batch_size": 4})


async def test_a_batch_leaves_when_its_first_member_has_waited(rig: Rig) -> None:
    await batched(rig, wait_s=0.5)
    items = await calls(rig, 1)
    box = await rig.container()
    await rig.tick(0.4)
    items += await calls(rig, 1)
    assert batches(box) == []
    await rig.tick(0.1)

    assert batches(box) == [[item.seq for item in items]]


async def test_the_next_batch_waits_until_the_container_has_room(rig: Rig) -> None:
    await batched(rig, wait_s=0)
    await calls(rig, 6)
    box = await rig.container()
    assert sizes(box) == [4]
    for frame in box.inputs[:3]:
        box.answer(frame)
    assert sizes(box) == [4], "the batch goes on"
    box.answer(box.inputs[3])
    assert sizes(box) == [4, 2], "what has waited for long enough does not wait for more"


async def test_so_many_batches_run_at_once(rig: Rig) -> None:
    await batched(rig, size=2, max_inputs=3)
    await calls(rig, 8)
    box = await rig.container()
    assert sizes(box) == [2, 2, 2]


async def test_each_member_has_a_result_and_retries_of_its_own(rig: Rig) -> None:
    await batched(rig, size=2, wait_s=0.5, retries=RetryPolicy(1, 0, 1, 1))
    good, bad = await calls(rig, 2)
    box = await rig.container()
    box.answer(box.inputs[0], "fine")
    box.fail(box.inputs[1], "user_error")
    assert (await rig.result(good)).outcome == Outcome.SUCCESS
    await rig.settle()
    await rig.tick(0.5)

    assert batches(box) == [[good.seq, bad.seq], [bad.seq]]
    assert json.loads(box.inputs[-1].meta)["number"] == 2


async def test_callers_take_turns_in_a_batch(rig: Rig) -> None:
    await batched(rig, size=4, wait_s=600)
    mine = await calls(rig, 3, "tk-1")
    pool = rig.heart.pools["fu-1"]
    pool.paused = True
    mine += await calls(rig, 7, "tk-1")
    theirs = await calls(rig, 2, "tk-2")
    pool.paused = False
    box = await rig.container()

    (batch, *_) = batches(box)
    whose = Counter("tk-1" if seq in {item.seq for item in mine} else "tk-2" for seq in batch)
    assert whose == {"tk-1": 2, "tk-2": 2}
    assert theirs[0].seq in batch


async def test_one_timer_waits_for_a_batch(rig: Rig) -> None:
    await batched(rig, size=10, wait_s=0.5)
    await calls(rig, 1)
    await rig.container()
    before = len(rig.clock.sleepers)
    await calls(rig, 5)
    assert len(rig.clock.sleepers) == before


async def test_a_batch_is_full_though_most_of_a_long_queue_is_in_the_store(rig: Rig) -> None:
    await rig.resize(Window(stream=4, queue=8, least=2))
    await batched(rig, size=10, wait_s=600)
    items = await calls(rig, 35)
    box = await rig.container()
    for _ in range(2):
        for frame in box.inputs[-10:]:
            box.answer(frame)
        await rig.settle()
    await until(lambda: len(box.inputs) >= 30, "three batches")
    assert batches(box) == [[item.seq for item in items[at : at + 10]] for at in (0, 10, 20)]


async def test_a_cancelled_member_leaves_what_waits_and_stays_in_what_runs(rig: Rig) -> None:
    await batched(rig, size=2, wait_s=0.5)
    first, second = await calls(rig, 2)
    box = await rig.container()
    third = await rig.call()
    rig.heart.cancel(third, "caller")
    rig.heart.cancel(first, "caller")
    assert (await rig.result(first)).outcome == Outcome.CANCELLED
    assert [frame.seq for frame in box.talk.of(wire.CANCEL)] == [first.seq]
    box.answer(box.inputs[1], 2)
    assert (await rig.result(second)).outcome == Outcome.SUCCESS
    await calls(rig, 2)
    assert sizes(box) == [2], "the batch goes on until its last member has ended"
    box.answer(box.inputs[0], 1)
    assert sizes(box) == [2, 2]
    assert (await rig.result(first)).outcome == Outcome.CANCELLED


async def test_large_arguments_are_read_before_the_batch_leaves(rig: Rig) -> None:
    await batched(rig, size=3)
    blob = await rig.blobs.put(b'{"args": ["large"]}')
    await rig.call()
    pool = rig.heart.pools["fu-1"]
    item = rig.heart.accept(pool.live, NewCall("invoke", "tk-1", None, blob), lambda _: (), lambda _: None)
    rig.heart.followers.wait(item.seq, partial(rig.results.__setitem__, item.seq))
    await rig.call()
    box = await rig.container()
    await until(lambda: box.inputs, "the batch")

    assert sizes(box) == [3]
    assert box.inputs[1].payload == b'{"args": ["large"]}'


async def test_an_input_that_must_run_alone_is_a_batch_of_one(rig: Rig) -> None:
    await batched(rig, size=2)
    items = await calls(rig, 2)
    box = await rig.container()
    assert sizes(box) == [2]
    box.hang_up()
    rig.engine.end(box.member.id, "died")
    await rig.settle()
    again = await rig.container()
    assert sizes(again) == [1]
    again.answer(again.inputs[0])
    await rig.settle()
    assert batches(again) == [[items[0].seq], [items[1].seq]]


async def test_a_batch_that_runs_takes_all_its_slots(rig: Rig) -> None:
    """Two more that wait need a second container, though two members more would have had room."""
    await batched(rig, size=4, wait_s=0.0, max_containers=3)
    await calls(rig, 2)
    await rig.container()
    await calls(rig, 2)
    sample = sample_of(rig.heart.pools["fu-1"], rig.clock.monotonic())
    assert (sample.running, sample.taken, sample.waiting, sample.slots) == (2, 4, 2, 4)
    await rig.scale()
    assert len(rig.engine.started) == 2


async def test_a_batch_is_adopted_by_the_next_server(rig: Rig) -> None:
    await batched(rig, size=2, wait_s=0.5, max_inputs=2)
    items = await calls(rig, 2)
    box = await rig.container()
    pool = await rig.reopen(rig.heart.pools["fu-1"])
    holds: list[list[object]] = [[frame.seq, frame.token, 1, 0.25, False] for frame in box.inputs]
    talk = await box.reconnect(holds)
    again = Played(rig, pool, pool.members[box.member.id], talk, box.credential)
    assert again.member.taken == 2
    await calls(rig, 2)
    assert sizes(again) == [2], "a second batch beside the first"
    await calls(rig, 2)
    assert sizes(again) == [2]
    for frame in box.inputs:
        again.answer(frame)
    assert sizes(again) == [2, 2]
    assert {(await rig.result(item)).outcome for item in items} == {Outcome.SUCCESS}


async def test_a_new_revision_may_batch_what_the_old_one_did_not(rig: Rig) -> None:
    await rig.deploy(1, max_containers=2)
    await calls(rig, 1)
    old = await rig.container()
    await rig.deploy(2, max_containers=2, batches=Batches(2, 600.0))
    await rig.scale()
    new = await rig.boot()
    old.answer(old.inputs[0])
    await calls(rig, 3)

    assert len(old.inputs) == 1
    assert sizes(new) == [2]


@pytest.mark.parametrize("wait_s", [0.0, 600.0])
async def test_a_server_that_closes_waits_for_no_batch(rig: Rig, wait_s: float) -> None:
    await batched(rig, wait_s=wait_s)
    await rig.scale()
    await calls(rig, 1)
    await rig.container()
    rig.heart.close()
    await rig.background.close(grace_s=0.1)
