"""Items of generators, as every store keeps them."""

import pytest

from tests.contract.store.conftest import Stores
from tests.contract.store.making import LIFE, accept, complete, pending
from yurt.domain.changes import Expire, Insert, Remove, Save
from yurt.domain.errors import AlreadyExists
from yurt.domain.records import Claim, ItemBlock
from yurt.domain.retention import OldCall
from yurt.ports import Store

CALL = accept(1)
BLOCKS = [
    ItemBlock(CALL.seq, 0, 3, 5, b"1\n2\n3"),
    ItemBlock(CALL.seq, 3, 1, 300_005, None, "aa"),
    ItemBlock(CALL.seq, 4, 2, 300_008, b"5\n6"),
]


async def some_items(store: Store) -> None:
    """Of one call that has a claim, and of a neighbour."""
    await store.journal.write(CALL, accept(2), Save(Claim(CALL.seq, "co-1", 9, 1.5)))
    await store.journal.write(*map(Insert, BLOCKS), Insert(ItemBlock(LIFE + 2, 0, 1, 1, b"7")))


@pytest.mark.parametrize(("start", "first"), [(0, 0), (2, 0), (3, 1), (4, 2), (5, 2), (6, 3), (99, 3)])
async def test_blocks_are_read_from_the_one_on_that_holds_an_item(store: Store, start: int, first: int) -> None:
    await some_items(store)
    assert await store.items.blocks(CALL.seq, start, limit=10) == BLOCKS[first:]
    assert await store.items.blocks(CALL.seq, start, limit=1) == BLOCKS[first : first + 1]


async def test_without_items_there_are_no_blocks(store: Store) -> None:
    assert await store.items.blocks(CALL.seq, 0, limit=10) == []
    assert await store.items.firsts(CALL.seq, limit=10) == []


async def test_items_that_are_there_are_not_written_over(store: Store) -> None:
    await some_items(store)
    with pytest.raises(AlreadyExists):
        await store.journal.write(Insert(ItemBlock(CALL.seq, 0, 1, 1, b"0")))
    assert (await store.items.blocks(CALL.seq, 0, limit=1)) == BLOCKS[:1]


async def test_a_pending_input_tells_how_many_items_of_it_are_stored(store: Store) -> None:
    await some_items(store)
    found = {row.seq: (row.items, row.item_bytes) for row in await pending(store)}
    assert found[CALL.seq] == (6, 300_008)
    assert [(row.items, row.item_bytes) for row in await store.maps.started()] == [(6, 300_008)]
    assert [row.items for row in await store.maps.pending([CALL.seq])] == [6]


async def test_items_are_counted_in_the_result_and_outlive_a_failure(store: Store) -> None:
    await some_items(store)
    await store.journal.write(complete(CALL, outcome="user_error", items=6))
    stored = await store.calls.get(CALL.seq)
    assert stored is not None
    assert stored.result is not None
    assert (stored.result.items, stored.result.value) == (6, None)
    assert await store.items.blocks(CALL.seq, 0, limit=10) == BLOCKS


async def test_a_generator_without_items_is_one_all_the_same(store: Store) -> None:
    await store.journal.write(CALL)
    await store.journal.write(complete(CALL, value=None, items=0))
    stored = await store.calls.get(CALL.seq)
    assert stored is not None
    assert stored.result is not None
    assert (stored.result.items, stored.result.value) == (0, None)


async def test_old_calls_tell_whether_they_have_items(store: Store) -> None:
    await some_items(store)
    await store.journal.write(complete(CALL, value=None, items=6), complete(accept(2)))
    assert await store.retention.calls(after=0, limit=10) == [
        OldCall(CALL.seq, 1.0, 3.0, undelivered=False, size_bytes=2, items=True),
        OldCall(LIFE + 2, 1.0, 3.0, undelivered=False, size_bytes=3),
    ]


async def test_items_go_block_by_block_or_with_their_call(store: Store, stores: Stores) -> None:
    await some_items(store)
    assert await store.items.firsts(CALL.seq, limit=2) == [0, 3]
    await store.journal.write(*(Remove(ItemBlock, (CALL.seq, first)) for first in (0, 3)))
    assert await store.items.firsts(CALL.seq, limit=2) == [4]
    await store.journal.write(Expire((CALL.seq,)))
    assert stores.committed("items") == 1


async def test_a_blob_of_items_is_known(store: Store) -> None:
    await some_items(store)
    assert await store.retention.known_blobs(["aa", "bb"]) == {"aa"}
