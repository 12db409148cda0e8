"""Which input goes where, and when its end is seen."""

import json
from functools import partial

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.errors import TooManyPending
from yurt.domain.records import Outcome
from yurt.pools.inputs import NewCall
from yurt_runner import wire


async def test_the_first_input_starts_a_container_and_runs_in_it(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call(args=b'{"args":[1]}')
    box = await rig.container()
    (frame,) = box.inputs
    assert frame.payload == b'{"args":[1]}'
    assert json.loads(frame.meta)["call_id"] == rig.tags.call_id(item.seq)
    box.answer(frame, {"a": 1})
    result = await rig.result(item)
    assert (result.outcome, result.value and result.value.data, result.attempts) == ("success", b'{"a": 1}', 1)
    assert box.talk.acked == [(frame.seq, frame.token)]


async def test_nothing_is_seen_before_its_commit(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    rig.store.journal.hold()
    box.answer(box.inputs[0])
    assert item.seq not in rig.results
    assert box.talk.acked == []
    rig.store.journal.release()
    await rig.result(item)


async def test_a_second_input_waits_for_the_slot(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    first, second = await rig.call(), await rig.call()
    box = await rig.container()
    assert [frame.seq for frame in box.inputs] == [first.seq]
    box.answer(box.inputs[0])
    assert [frame.seq for frame in box.inputs] == [first.seq, second.seq]


async def test_fast_functions_are_fed_ahead_and_slow_ones_are_not(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    items = [await rig.call() for _ in range(90)]
    box = await rig.container()
    box.answer(box.inputs[0], run_s=0.0001)
    assert len(box.inputs) == 1 + 1 + 20, "2 ms of work beside the one that runs"
    for frame in box.inputs[1:9]:
        box.answer(frame, run_s=0.0001)
    assert len(box.inputs) == 22, "half of it is still there"
    for frame in box.inputs[9:12]:
        box.answer(frame, run_s=0.0001)
    assert len(box.inputs) > 30, "many at a time"
    for frame in box.inputs[12:]:
        box.answer(frame, run_s=0.5)
    assert len(box.member.held) <= 1
    assert len(items) == 90


async def test_what_waits_behind_a_long_input_is_taken_back_and_keeps_its_place(rig: Rig) -> None:
    await rig.deploy(max_containers=2)
    warm = await rig.call()
    box = await rig.container()
    box.answer(box.inputs[0], run_s=0.00001)
    await rig.result(warm)
    items = [await rig.call() for _ in range(3)]
    long, *behind = box.inputs[1:]
    assert [frame.seq for frame in box.inputs[1:]] == [item.seq for item in items]
    box.say(wire.STARTED, long.seq, long.token, for_s=0.01)
    assert len(box.talk.of(wire.RECALL)) == 1
    for frame in reversed(behind):
        box.say(wire.RETURN, frame.seq, frame.token)
    await rig.settle()
    other = await rig.container()
    assert other.inputs[0].seq == items[1].seq
    assert items[1].history.number == 1


async def test_a_stale_output_is_acknowledged_and_dropped(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    box.say(wire.OUTPUT, frame.seq, frame.token + 1, b'"forged"', run_s=0.1)
    box.say(wire.OUTPUT, 12345, 1, b'"forged"', run_s=0.1)
    assert box.talk.acked == [(frame.seq, frame.token + 1), (12345, 1)]
    box.answer(frame, "real")
    box.say(wire.OUTPUT, frame.seq, frame.token, b'"late"', run_s=0.1)
    result = await rig.result(item)
    assert result.value is not None
    assert result.value.data == b'"real"'


@pytest.mark.parametrize(
    "payload",
    [b'1},"status":"failure"', b"", b"NaN", b'"\xff"', b"1 2", b"[" * 513 + b"]" * 513, b"[" * 5000],
    ids=["forged", "empty", "nan", "not utf-8", "two values", "deep", "very deep"],
)
async def test_a_value_that_is_not_one_json_value_is_not_taken(rig: Rig, payload: bytes) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    box.say(wire.OUTPUT, frame.seq, frame.token, payload, run_s=0.1)
    result = await rig.result(item)
    assert result.outcome == Outcome.INTERNAL_ERROR
    assert result.error_json is not None
    assert "not one JSON value" in json.loads(result.error_json)["message"]


async def test_an_error_keeps_what_the_container_may_say_and_no_more(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error", traceback="File main.py", retries_left=99, hint="send money", module="m")
    error = json.loads((await rig.result(item)).error_json or b"")
    assert error["traceback"] == "File main.py"
    assert error["retries_left"] == 0
    assert "yurt logs" in error["hint"]
    assert error["input_id"] == rig.tags.input_id(item.seq)


async def test_a_large_value_becomes_a_blob(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    box.answer(box.inputs[0], "x" * 300_000)
    result = await rig.result(item)
    assert result.value is not None
    assert result.value.data is None
    assert len(rig.blobs.kept[result.value.blob or ""]) == 300_002


async def test_callers_take_turns(rig: Rig) -> None:
    await rig.deploy(max_containers=1)
    busy = [await rig.call("tk-a") for _ in range(5)]
    late = await rig.call("tk-b")
    box = await rig.container()
    for _ in range(2):
        box.answer(box.inputs[-1])
    assert [frame.seq for frame in box.inputs[:3]] == [busy[0].seq, late.seq, busy[1].seq]


async def test_the_queue_has_an_end(rig: Rig) -> None:
    await rig.deploy()
    for _ in range(100):
        await rig.call()
    with pytest.raises(TooManyPending):
        await rig.call()


async def test_a_single_use_container_runs_one_input(rig: Rig) -> None:
    await rig.deploy(single_use_containers=True, max_containers=1)
    first, second = await rig.call(), await rig.call()
    box = await rig.container()
    box.answer(box.inputs[0], run_s=0.00001)
    await rig.result(first)
    assert len(box.inputs) == 1
    assert len(box.talk.of(wire.DRAIN)) == 1
    rig.engine.end(box.member.id)
    box.hang_up()
    await rig.settle()
    other = await rig.container()
    other.answer(other.inputs[0])
    await rig.result(second)


async def test_an_output_that_is_sent_again_before_its_commit_is_not_acknowledged_early(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    frame = box.inputs[0]
    rig.store.journal.hold()
    box.answer(frame, 1)
    box.answer(frame, 1)
    assert box.talk.acked == []
    rig.store.journal.release()
    await rig.result(item)
    assert box.talk.acked == [(frame.seq, frame.token)]


async def test_arguments_that_are_gone_end_the_call_and_free_the_slot(rig: Rig) -> None:
    pool = await rig.deploy()
    item = rig.heart.accept(pool.live, NewCall("invoke", "tk-1", None, "0" * 64), lambda _: (), lambda error: None)
    rig.heart.followers.wait(item.seq, partial(rig.results.__setitem__, item.seq))
    await rig.settle()
    box = await rig.container()
    result = await rig.result(item)
    assert result.outcome == Outcome.INTERNAL_ERROR
    assert box.member.held == {}
