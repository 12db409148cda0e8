"""What generators yield: stored before it is shown, never yielded again, and as far ahead as it is read."""

import json
from collections.abc import Iterable

import pytest

from tests.component.pools.rig import Played, Rig, Talk
from tests.component.pools.test_recovery import again
from tests.waiting import until
from yurt.domain.errors import Invalid, NotAcceptable
from yurt.domain.items import LIST_BYTES
from yurt.domain.records import Result, Role
from yurt.domain.retry import RetryPolicy
from yurt.pools.heart import Limits
from yurt.pools.inputs import Input
from yurt.pools.ledger import BLOB_ABOVE_BYTES
from yurt.pools.live_map import NewMap
from yurt.usecases.items import HELD_BYTES, ItemReader, Lines
from yurt.usecases.maps import MapDesk
from yurt.usecases.principals import Principal
from yurt_runner import wire

ANYBODY = Principal("tk-1", Role.ADMIN, None)


def give(box: Played, frame: wire.Frame, first: int, items: Iterable[object]) -> None:
    """Yield items, as one frame."""
    lines = [json.dumps(item).encode() for item in items]
    box.say(wire.ITEM, frame.seq, frame.token, b"\n".join(lines), first=first, count=len(lines))


def end(box: Played, frame: wire.Frame, items: int) -> None:
    """End a generator that had so many items."""
    box.say(wire.OUTPUT, frame.seq, frame.token, run_s=0.5, items=items)


def granted(talk: Talk) -> list[tuple[int, int, int]]:
    """What a container was told: items stored, items and bytes granted."""
    return [wire.CREDITED.unpack(frame.payload) for frame in talk.of(wire.CREDIT)]


async def stored(rig: Rig, item: Input) -> list[object]:
    """All items of a call, as the store has them."""
    await rig.settle()
    reader = ItemReader(rig.desk().items, item.seq, 0, holds=False)
    reader.begin(1 << 60)
    out: list[object] = []
    while found := await reader.ready():
        out += values(found)
    return out


def values(found: list[Lines]) -> list[object]:
    """The items in what a reader gave."""
    return [json.loads(line) for lines in found for line in lines.data.split(b"\n")]


async def begun(rig: Rig) -> tuple[Input, Played, wire.Frame]:
    """A call that runs."""
    await rig.deploy(max_containers=1)
    item = await rig.call()
    box = await rig.container()
    return item, box, box.inputs[0]


async def test_items_are_stored_and_counted_and_the_call_has_no_other_result(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1, {"a": None}])
    give(box, frame, 2, ["three"])
    end(box, frame, 3)
    result = await rig.result(item)
    assert (result.outcome, result.items, result.value) == ("success", 3, None)
    assert await stored(rig, item) == [1, {"a": None}, "three"]
    assert await rig.desk().value_of(result) == b'[1,{"a": null},"three"]'


async def test_a_generator_without_items_has_an_empty_list(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    end(box, frame, 0)
    result = await rig.result(item)
    assert (result.outcome, result.items) == ("success", 0)
    assert await rig.desk().value_of(result) == b"[]"


async def test_an_item_is_shown_after_its_commit(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    with rig.desk().items.reading(item.seq) as reader:
        rig.store.journal.hold()
        give(box, frame, 0, [1])
        await rig.clock.sleep(0)
        assert await reader.ready() == []
        assert granted(box.talk) == []
        rig.store.journal.release()
        await reader.news()
        assert values(await reader.ready()) == [1]


async def test_an_error_after_some_items_keeps_them(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1, 2])
    payload = b'{"type": "Oops", "message": "it broke"}'
    box.say(wire.OUTPUT, frame.seq, frame.token, payload, flags=1, run_s=0.5, items=2)
    result = await rig.result(item)
    assert (result.outcome, result.items) == ("user_error", 2)
    assert await rig.desk().value_of(result) is None
    assert await stored(rig, item) == [1, 2]


async def test_a_container_lost_after_an_item_fails_the_call_and_keeps_its_items(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1, 2])
    rig.engine.end(box.member.id, "gone")
    box.hang_up()
    result = await rig.result(item)
    assert (result.outcome, result.items, result.attempts) == ("internal_error", 2, 1)
    message = json.loads(result.error_json or b"")["message"]
    assert message.startswith(f"Container {box.member.id} ended: gone. 2 items were shown before")
    assert await rig.store.calls.attempts(item.seq) == []
    assert await stored(rig, item) == [1, 2]
    await rig.scale()
    assert len(rig.engine.started) == 1


async def test_one_lost_before_any_item_is_run_again(rig: Rig) -> None:
    item, box, _ = await begun(rig)
    rig.engine.end(box.member.id, "gone")
    box.hang_up()
    await rig.settle()
    other = await rig.container()
    (frame,) = other.inputs
    give(other, frame, 0, [7])
    end(other, frame, 1)
    result = await rig.result(item)
    assert (result.outcome, result.items, result.attempts) == ("success", 1, 2)


async def test_credit_follows_the_store_where_nobody_reads(rig: Rig) -> None:
    _, box, frame = await begun(rig)
    give(box, frame, 0, range(10))
    await rig.settle()
    give(box, frame, 10, range(10))
    await rig.settle()
    size = 2 * 10
    window, window_bytes = wire.ITEM_WINDOW, wire.ITEM_WINDOW_BYTES
    assert granted(box.talk) == [
        (10, 10 + window, size + window_bytes),
        (20, 20 + window, 2 * size + window_bytes),
    ]


async def test_a_generator_waits_for_the_caller_who_reads_it(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    book, most = rig.desk().items, wire.ITEM_WINDOW
    with book.reading(item.seq, holds=True) as caller, book.reading(item.seq) as observer:
        for first in range(0, 3 * most, most):
            give(box, frame, first, range(most))
            await rig.settle()
        assert values(await observer.ready())[:2] == [0, 1]
        assert granted(box.talk)[-1][:2] == (3 * most, most), "the observer does not count"
        assert len(values(await caller.ready())) >= most
        await caller.ready()
        assert granted(box.talk)[-1][1] >= 2 * most
    assert granted(box.talk)[-1][:2] == (3 * most, 4 * most), "nobody reads any more"


async def test_a_reader_that_falls_behind_reads_from_the_store_and_misses_nothing(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    large = "x" * (HELD_BYTES // 4)
    with rig.desk().items.reading(item.seq) as reader:
        for first in range(10):
            give(box, frame, first, [f"{first}{large}"])
            await rig.settle()
        seen = [str(value)[0] for value in values(await reader.ready())]
        give(box, frame, 10, ["last"])
        await rig.settle()
        while found := await reader.ready():
            seen += [str(value)[:4] if value == "last" else str(value)[0] for value in values(found)]
    assert seen == [*"0123456789", "last"]


async def test_a_late_reader_begins_where_it_wants(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    for first in range(0, 100, 7):
        give(box, frame, first, range(first, first + 7))
    await rig.settle()
    for start in (0, 6, 7, 50, 104, 105):
        with rig.desk().items.reading(item.seq, start) as reader:
            assert values(await reader.ready()) == list(range(start, 105))


async def test_a_large_item_becomes_a_blob_and_keeps_its_place(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    large = "x" * BLOB_ABOVE_BYTES
    give(box, frame, 0, [1])
    give(box, frame, 1, [large])
    give(box, frame, 2, [3])
    end(box, frame, 3)
    result = await rig.result(item)
    assert (result.outcome, result.items) == ("success", 3)
    assert await stored(rig, item) == [1, large, 3]
    assert len(rig.blobs.kept) == 1


async def test_items_that_come_again_after_a_broken_connection_are_told_as_stored(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1, 2])
    await rig.settle()
    box.hang_up()
    box = await again(rig, box, [[frame.seq, frame.token, 1, 0.5, False]])
    assert granted(box.talk)[-1][0] == 2
    give(box, frame, 0, [1, 2])
    give(box, frame, 2, [3])
    end(box, frame, 3)
    assert (await rig.result(item)).items == 3
    assert await stored(rig, item) == [1, 2, 3]


async def test_a_generator_goes_on_over_a_restart_of_the_server(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1, 2])
    await rig.settle()
    await rig.reopen(box.pool)
    box = await again(rig, box, [[frame.seq, frame.token, 1, 0.5, False]])
    assert granted(box.talk) == [(2, 2 + wire.ITEM_WINDOW, 4 + wire.ITEM_WINDOW_BYTES)]
    give(box, frame, 2, [3])
    end(box, frame, 3)
    assert (await rig.result(item)).items == 3
    assert await stored(rig, item) == [1, 2, 3]


async def test_after_a_restart_one_that_was_shown_is_not_run_again(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1])
    await rig.settle()
    pool = await rig.reopen(box.pool)
    rig.engine.end(box.member.id, "gone")
    for _ in range(3):
        await rig.tick(6)
    result = await rig.result(item)
    assert (result.outcome, result.items) == ("internal_error", 1)
    assert len(pool.queue) == 0
    assert await stored(rig, item) == [1]


async def test_a_container_that_came_back_without_it_does_not_run_it_again(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1])
    await rig.settle()
    await rig.reopen(box.pool)
    box = await again(rig, box, [])
    await rig.tick(6)
    assert (await rig.result(item)).outcome == "internal_error"
    assert box.inputs == []


async def test_a_cancelled_generator_keeps_what_was_stored(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1])
    rig.heart.cancel(item, "token")
    give(box, frame, 1, [2])
    result = await rig.result(item)
    assert (result.outcome, result.items) == ("cancelled", 1)
    assert len(box.talk.of(wire.CANCEL)) == 1
    assert await stored(rig, item) == [1]


@pytest.mark.parametrize(
    ("payload", "first", "count"),
    [
        (b"1\n2", 0, 1),
        (b"1,2\n3", 0, 2),
        (b'"a\nb"', 0, 2),
        (b"", 0, 1),
        (b"NaN", 0, 1),
        (b'"\xff"', 0, 1),
        (b"[" * 600 + b"]" * 600, 0, 1),
        (b"1", 1, 1),
    ],
)
async def test_what_cannot_be_items_ends_the_call(rig: Rig, payload: bytes, first: int, count: int) -> None:
    item, box, frame = await begun(rig)
    box.say(wire.ITEM, frame.seq, frame.token, payload, first=first, count=count)
    result = await rig.result(item)
    assert (result.outcome, result.items or 0) == ("internal_error", 0)
    assert len(box.talk.of(wire.CANCEL)) == 1
    assert await stored(rig, item) == []


async def test_an_end_that_leaves_items_out_is_not_believed(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, [1])
    end(box, frame, 2)
    assert (await rig.result(item)).outcome == "internal_error"


async def test_items_of_an_attempt_that_was_given_up_are_not_taken(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    box.say(wire.ITEM, frame.seq, frame.token - 1, b"1", first=0, count=1)
    await rig.settle()
    assert await stored(rig, item) == []
    end(box, frame, 0)
    assert (await rig.result(item)).items == 0


async def test_what_one_generator_stores_has_a_limit(rig: Rig) -> None:
    await rig.close()
    rig.limits = Limits(item_bytes=100)
    await rig.open()
    item, box, frame = await begun(rig)
    give(box, frame, 0, range(10))
    give(box, frame, 10, ["x" * 100])
    result = await rig.result(item)
    assert (result.outcome, result.items) == ("user_error", 10)
    assert "--generator-limit-bytes" in json.loads(result.error_json or b"")["message"]
    assert await stored(rig, item) == list(range(10))
    assert len(box.talk.of(wire.CANCEL)) == 1


async def test_a_list_has_a_limit_that_names_another_form(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yurt.usecases.items.LIST_BYTES", 20)
    item, box, frame = await begun(rig)
    give(box, frame, 0, range(11))
    end(box, frame, 11)
    with pytest.raises(NotAcceptable, match="application/x-ndjson"):
        await rig.desk().value_of(await rig.result(item))
    assert LIST_BYTES == 64 << 20


async def test_a_reader_of_an_ended_call_reads_to_its_end(rig: Rig) -> None:
    item, box, frame = await begun(rig)
    give(box, frame, 0, range(5))
    end(box, frame, 5)
    result: Result = await rig.result(item)
    with rig.desk().items.reading(item.seq, 2) as reader:
        reader.ended(result)
        assert not reader.over
        assert values(await reader.ready()) == [2, 3, 4]
        assert reader.over


async def test_retries_of_what_turns_out_to_be_a_generator_fail_its_start(rig: Rig) -> None:
    await rig.deploy(max_containers=1, retries=RetryPolicy(2))
    item = await rig.call()
    for _ in range(3):
        await rig.tick(61)
        box = await rig.boot(ready=False)
        box.say(wire.READY, slots=1, startup_s=0.1, generator=True)
        rig.engine.end(box.member.id, "stopped")
        box.hang_up()
        await rig.settle()
    result = await rig.result(item)
    error = json.loads(result.error_json or b"")
    assert (result.outcome, error["type"]) == ("init_failure", "InvalidDefinition")
    assert error["message"].startswith("/retries: main:work is a generator")
    assert box.inputs == []


async def test_a_map_over_a_generator_fails_with_what_to_do(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=1)
    maps = MapDesk(rig.heart, rig.store, rig.tags, rig.clock, rig.desk()._callbacks)
    found = maps.maps.begin(pool.live, NewMap("tk-1"))
    await maps.maps.add(found, [b"{}"])
    await maps.maps.seal(found, truncated=False)
    box = await rig.container()
    give(box, box.inputs[0], 0, [1])
    await until(lambda: found.failed is not None, "the end of the map")
    assert found.failed is not None
    assert found.failed.outcome == "user_error"
    assert b"call it once for each input" in (found.failed.error_json or b"")
    assert len(box.talk.of(wire.CANCEL)) == 1


async def test_a_map_over_what_is_known_to_be_a_generator_is_refused(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=1)
    await rig.call()
    await rig.scale()
    box = await rig.boot(ready=False)
    box.say(wire.READY, slots=1, startup_s=0.1, generator=True)
    maps = MapDesk(rig.heart, rig.store, rig.tags, rig.clock, rig.desk()._callbacks)
    with pytest.raises(Invalid, match="demo:work is a generator"):
        maps.upload(ANYBODY, pool.live, NewMap("tk-1"))
