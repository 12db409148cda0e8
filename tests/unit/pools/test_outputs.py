"""Readers of a map's results: in order, bounded, and never without one."""

import asyncio
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.records import Block, Payload, Result
from yurt.pools.span import Span
from yurt.ports import Maps
from yurt.usecases import outputs
from yurt.usecases.outputs import AsTheyCome, InOrder, Output

COUNT = 60


class Kept:
    """The results that are committed, by seq."""

    def __init__(self) -> None:
        self.rows: dict[int, Result] = {}
        self.reads = 0

    async def results(self, first: int, last: int, *, limit: int) -> list[Result]:
        """Results by seq."""
        self.reads += 1
        await asyncio.sleep(0)
        return [self.rows[seq] for seq in sorted(self.rows) if first <= seq <= last][:limit]


def result(seq: int) -> Result:
    return Result(seq, "success", None, 1.0, 1, 1, None, Payload(b"%d" % seq), None)


def span() -> Span:
    """Blocks of unequal sizes with gaps between their numbers."""
    return Span([Block(1, 0, 100, 7), Block(1, 7, 200, 40), Block(1, 47, 300, 13)], sealed=True)


def test_an_index_and_its_number_are_one() -> None:
    found = span()
    assert [found.index(found.seqs(index)[0]) for index in range(COUNT)] == list(range(COUNT))


def test_a_block_grows_while_its_numbers_follow_on() -> None:
    grown = Span()
    for first, size in ((10, 600), (610, 400), (1010, 5), (2000, 1)):
        grown.add(grown.following(1, first, size))
    assert grown.blocks == [Block(1, 0, 10, 1000), Block(1, 1000, 1010, 5), Block(1, 1005, 2000, 1)]
    assert grown.size == 1006


async def _read_all(output: Output, kept: Kept, order: list[int], pauses: set[int]) -> list[tuple[int, Any]]:
    found, shown = span(), []
    for at, index in enumerate(order):
        row = result(found.seqs(index)[0])
        kept.rows[row.seq] = row
        output.ended(index, row)
        if at in pauses:
            shown += await output.ready()
    while len(shown) < COUNT and (more := await output.ready()):
        shown += more
    return [(index, row.seq) for index, row in shown]


@given(st.permutations(range(COUNT)), st.sets(st.integers(0, COUNT - 1)), st.integers(0, 5))
def test_results_are_shown_once_in_their_order(order: list[int], pauses: set[int], held: int) -> None:
    kept, found = Kept(), span()
    outputs.HELD, before = held, outputs.HELD
    try:
        shown = asyncio.run(_read_all(InOrder(cast("Maps", kept), found), kept, order, pauses))
        assert shown == [(index, found.seqs(index)[0]) for index in range(COUNT)]
        kept = Kept()
        shown = asyncio.run(_read_all(AsTheyCome(cast("Maps", kept), found), kept, order, pauses))
        assert shown == [(index, found.seqs(index)[0]) for index in order]
    finally:
        outputs.HELD = before


async def test_what_fits_into_memory_is_not_read_again() -> None:
    kept = Kept()
    await _read_all(InOrder(cast("Maps", kept), span()), kept, list(range(COUNT)), {5, 20})
    assert kept.reads == 0
