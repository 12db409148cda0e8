"""What failed, as every store finds it."""

import pytest

from tests.contract.store.making import LIFE, accept, complete
from yurt.domain.changes import AcceptCall, AcceptInputs, Complete, MapInput, Save
from yurt.domain.records import Block, Map, Outcome, Redrive
from yurt.outbound.store import redrives
from yurt.ports import Failed, Store

PLENTY = 1 << 20


async def a_map(store: Store, outcomes: str, first: int = 201) -> Block:
    """A map whose inputs ended well (.), failed (x) or were cancelled (c)."""
    rows = tuple(MapInput(first + n, 100, b'{"args":[%d]}' % n, None) for n in range(len(outcomes)))
    block = Block(100, 0, first, len(outcomes))
    await store.journal.write(AcceptCall(100, "fu-1", "ap-1", "map", "tk-1", 0, 1.0, None), Save(Map(100, True)))
    await store.journal.write(AcceptInputs(rows), Save(block))
    ends = {".": Outcome.SUCCESS, "x": Outcome.TIMEOUT, "c": Outcome.CANCELLED}
    for row, how in zip(rows, outcomes, strict=True):
        value = b"1" if how == "." else None
        await store.journal.write(Complete(row.seq, "", "", 0, ends[how], None, 2.0, 1, 1, None, value, None, None))
    return block


async def test_inputs_that_failed_or_were_cancelled_come_in_their_order(store: Store) -> None:
    block = await a_map(store, ".xc.x")
    other = AcceptInputs((MapInput(203 + 100, 999, b"{}", None),))
    await store.journal.write(
        other, Complete(303, "", "", 0, Outcome.TIMEOUT, None, 2.0, 1, 1, None, None, None, b"{}")
    )
    found = await store.redrives.inputs(Block(100, 0, 201, 200), after=0, limit_bytes=PLENTY)
    assert found == [MapInput(seq, 100, b'{"args":[%d]}' % (seq - 201), None) for seq in (202, 203, 205)]
    assert [row.seq for row in await store.redrives.inputs(block, after=203, limit_bytes=PLENTY)] == [205]
    assert await store.redrives.inputs(block, after=205, limit_bytes=PLENTY) == []


async def test_no_more_is_read_than_was_asked_for_and_one_at_least(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = await a_map(store, "xxxxx")
    for limit, expected in ((1, [201]), (12, [201]), (13, [201, 202]), (PLENTY, [201, 202, 203, 204, 205])):
        found = await store.redrives.inputs(block, after=0, limit_bytes=limit)
        assert [row.seq for row in found] == expected
    monkeypatch.setattr(redrives, "ROWS", 2)
    assert [row.seq for row in await store.redrives.inputs(block, after=202, limit_bytes=PLENTY)] == [203, 204]


async def some_calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight calls: good, failed, open, another function's, failed, cancelled, failed and repeated, old and failed."""
    monkeypatch.setattr(redrives, "LOOKED_AT", 3)
    ends = ["success", "timeout", None, "timeout", "user_error", "cancelled", "timeout", "timeout"]
    for number, outcome in enumerate(ends, 1):
        function = "fu-2" if number == 4 else "fu-1"
        row = accept(number, function_id=function, created_at=5.0 if number == 8 else 10.0, args=b'{"args":[]}')
        await store.journal.write(row)
        if outcome is not None:
            await store.journal.write(complete(row, outcome=outcome))
    await store.journal.write(Save(Redrive(LIFE + 50, LIFE + 7)))


async def every(store: Store, wanted: Failed, until: int, limit_bytes: int = PLENTY) -> list[int]:
    """All that is found, portion by portion."""
    after, numbers = 0, []
    while after < until:
        rows, after = await store.redrives.calls(wanted, after=after, until=until, limit_bytes=limit_bytes)
        assert len(rows) <= 3
        numbers += [row.seq - LIFE for row in rows]
    return numbers


@pytest.mark.parametrize("limit_bytes", [1, PLENTY])
async def test_failed_calls_of_a_function_are_found_unless_they_were_repeated(
    store: Store, monkeypatch: pytest.MonkeyPatch, limit_bytes: int
) -> None:
    await some_calls(store, monkeypatch)
    failed = ("timeout", "user_error")
    assert await every(store, Failed("fu-1", failed, 10.0), LIFE + 99, limit_bytes) == [2, 5]
    assert await every(store, Failed("fu-1", failed, 0.0), LIFE + 99, limit_bytes) == [2, 5, 8]
    assert await every(store, Failed("fu-1", failed, 0.0), LIFE + 3, limit_bytes) == [2]
    assert await every(store, Failed("fu-1", ("cancelled",), 0.0), LIFE + 99, limit_bytes) == [6]
    assert await every(store, Failed("fu-3", failed, 0.0), LIFE + 99, limit_bytes) == []


async def test_a_call_is_found_with_its_arguments(store: Store) -> None:
    row = accept(1, metadata_json='{"a":"b"}', priority=3, args=b'{"args":[1]}')
    await store.journal.write(row, complete(row, outcome="timeout"))
    ((found,), after) = await store.redrives.calls(
        Failed("fu-1", ("timeout",), 0.0), after=0, until=row.seq, limit_bytes=1
    )
    assert (found.seq, found.args.data, found.metadata_json, found.priority) == (row.seq, row.args, '{"a":"b"}', 3)
    assert after == row.seq
