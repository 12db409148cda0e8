"""What generators yielded, as somebody reads it: in order, from any item on, while it comes or long afterwards."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from yurt.domain.errors import NotAcceptable
from yurt.domain.items import LIST_BYTES, Amount
from yurt.domain.records import ItemBlock, Result
from yurt.pools.items import ItemDesk
from yurt.ports import Blobs, Items

BLOCKS = 32
"""Blocks that are read from the store at once: some 2 MiB."""

HELD_BYTES = 1 << 20
"""What a reader holds that it has not shown; what comes beyond it is read from the store in its turn."""


class Lines(NamedTuple):
    """Items with numbers in a row, as JSON, one a line."""

    first: int
    data: bytes


class ItemReader:
    """Reads the items of one input; made by `ItemBook.reading`.

    Args:
        start: the first item to show.
        holds: the generator waits for this reader: it called it.

    Attributes:
        next: the number of the next item to show.
        end: how many there are, once the input has ended.
    """

    def __init__(self, book: "ItemBook", seq: int, start: int, *, holds: bool) -> None:
        self.next = start
        self.end: int | None = None
        self._book = book
        self._seq = seq
        self._holds = holds
        self._held: deque[ItemBlock] = deque()
        self._held_bytes = 0
        self._stored = 0  # how many are known to be committed
        self._shown = Amount()
        self._shown_bytes = 0
        self._wake = asyncio.Event()

    @property
    def seen(self) -> Amount | None:
        """How far it has come, where the generator is to wait for it."""
        return self._shown if self._holds else None

    @property
    def over(self) -> bool:
        """Whether it has shown all there are."""
        return self.end is not None and self.next >= self.end

    def begin(self, stored: int) -> None:
        """So many items were committed before this reader was told of any."""
        self._stored = stored

    def stored(self, block: ItemBlock) -> None:
        """Items are committed."""
        size = len(block.data) if block.data is not None else HELD_BYTES + 1
        follows = self._stored == block.first and self._stored == self._known()
        self._stored = block.end
        if follows and self._held_bytes + size <= HELD_BYTES:
            self._held.append(block)
            self._held_bytes += size
        self._wake.set()

    def _known(self) -> int:
        """Up to which item everything is here, or was shown."""
        return self._held[-1].end if self._held else self.next

    def ended(self, result: Result) -> None:
        """The input has ended."""
        self.end = result.items or 0
        self._stored = max(self._stored, self.end)
        self._wake.set()

    async def news(self) -> None:
        """Return when there may be more."""
        await self._wake.wait()
        self._wake.clear()

    async def first_within(self, seconds: float) -> bool:
        """Whether there is an item, or the end, in so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self.end is None and self._stored <= self.next:
                    await self.news()
        except TimeoutError:
            return False
        return True

    async def ready(self) -> list[Lines]:
        """The next items, as far as there are any now; what was given before is shown."""
        self._wake.clear()
        self._tell()
        if self._held and self._held[0].first == self.next:
            blocks = list(self._held)
            self._held.clear()
            self._held_bytes = 0
        elif self.next < self._stored:
            blocks = _up_to_blob(await self._book.blocks(self._seq, self.next))
        else:
            return []
        return [await self._lines(block) for block in blocks]

    def _tell(self) -> None:
        """What is asked for next shows that what was given is on its way to the client."""
        now = Amount(self.next, self._shown_bytes)
        if self._holds and now != self._shown:
            self._shown = now
            self._book.moved(self._seq)

    async def _lines(self, block: ItemBlock) -> Lines:
        data = await self._book.data_of(block)
        skipped = self.next - block.first
        if skipped:
            data = b"\n".join(data.split(b"\n")[skipped:])
        lines = Lines(self.next, data)
        self.next, self._shown_bytes = block.end, block.total_bytes
        return lines


def _up_to_blob(blocks: list[ItemBlock]) -> list[ItemBlock]:
    """So many blocks that at most one of them is a large item."""
    for place, block in enumerate(blocks, 1):
        if block.blob is not None:
            return blocks[:place]
    return blocks


class ItemBook:
    """Where items are read.

    Args:
        desk: tells of those that come.
        store: has those that came.
        blobs: has the large ones.
    """

    def __init__(self, desk: ItemDesk, store: Items, blobs: Blobs) -> None:
        self._desk = desk
        self._store = store
        self._blobs = blobs

    @contextmanager
    def reading(self, seq: int, start: int = 0, *, holds: bool = False) -> Iterator[ItemReader]:
        """A reader of an input that may not have ended; whoever asks for it tells it of the end.

        Args:
            holds: the generator waits for this reader.
        """
        reader = ItemReader(self, seq, start, holds=holds)
        with self._desk.reading(seq, reader):
            reader.begin(self._desk.stored(seq))
            yield reader

    def moved(self, seq: int) -> None:
        """A reader has come further."""
        self._desk.moved(seq)

    async def blocks(self, seq: int, start: int) -> list[ItemBlock]:
        """Some blocks, from the one on that holds the item `start`."""
        return await self._store.blocks(seq, start, limit=BLOCKS)

    async def data_of(self, block: ItemBlock) -> bytes:
        """The lines of a block, wherever they are."""
        if block.data is not None:
            return block.data
        return await self._blobs.get(block.blob) if block.blob is not None else b""

    async def as_list(self, seq: int, count: int) -> bytes:
        """All items of an ended input as one JSON list.

        Raises:
            NotAcceptable: they are more than such an answer may hold.
        """
        parts: list[bytes] = []
        following = 0
        while following < count:
            blocks = await self._store.blocks(seq, following, limit=BLOCKS)
            if not blocks:
                break
            if blocks[-1].total_bytes > LIST_BYTES:
                raise NotAcceptable(
                    f"The {count} items of this call are more than the {LIST_BYTES >> 20} MiB that a JSON list may "
                    "have. Read them one by one: Accept: application/x-ndjson, or text/event-stream.",
                    code="list_too_large",
                )
            parts += [await self.data_of(block) for block in blocks]
            following = blocks[-1].end
        return b"[" + b",".join(part.replace(b"\n", b",") for part in parts) + b"]"
