"""Which inputs a map has: from an index to a sequence number and back."""

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter

from yurt.domain.records import Block

BLOCK_SIZE = 1000
"""Inputs of a block: that many are counted and read again together after a restart."""

_INDEX, _SEQ = attrgetter("first_idx"), attrgetter("first_seq")


class Span:
    """The blocks of a map, in order.

    Attributes:
        size: inputs accepted so far.
        sealed: no more will come.
    """

    __slots__ = ("blocks", "sealed", "size")

    def __init__(self, blocks: Iterable[Block] = (), *, sealed: bool = False) -> None:
        self.blocks: list[Block] = []
        self.size = 0
        self.sealed = sealed
        for block in blocks:
            self.add(block)

    def following(self, call_seq: int, first_seq: int, size: int) -> Block:
        """The block of inputs that come next: the last one, longer, where their numbers follow on its own."""
        last = self.blocks[-1] if self.blocks else None
        if last is None or last.first_seq + last.size != first_seq or last.size + size > BLOCK_SIZE:
            return Block(call_seq, self.size, first_seq, size)
        return Block(call_seq, last.first_idx, last.first_seq, last.size + size)

    def add(self, block: Block) -> None:
        """Its block is the next one, or takes the place of the last one, which it prolongs."""
        if self.blocks and self.blocks[-1].first_idx == block.first_idx:
            self.blocks.pop()
        self.blocks.append(block)
        self.size = block.first_idx + block.size

    def seqs(self, index: int) -> tuple[int, int]:
        """The number of an input, and that of the last one of its block."""
        block = self.blocks[bisect_right(self.blocks, index, key=_INDEX) - 1]
        return block.first_seq + index - block.first_idx, block.first_seq + block.size - 1

    @property
    def last_seq(self) -> int:
        """The number of the last input accepted so far, 0 where there is none."""
        return self.blocks[-1].first_seq + self.blocks[-1].size - 1 if self.blocks else 0

    def following_seq(self, seq: int) -> int | None:
        """The number of the first input behind `seq`, or None."""
        at = bisect_right(self.blocks, seq, key=_SEQ)
        if at and seq + 1 < self.blocks[at - 1].first_seq + self.blocks[at - 1].size:
            return seq + 1
        return self.blocks[at].first_seq if at < len(self.blocks) else None

    def __contains__(self, seq: int) -> bool:
        return self.following_seq(seq - 1) == seq

    def index(self, seq: int) -> int:
        """The index of an input of the map."""
        block = self.blocks[bisect_right(self.blocks, seq, key=_SEQ) - 1]
        return block.first_idx + seq - block.first_seq
