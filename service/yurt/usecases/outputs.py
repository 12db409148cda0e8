"""Results of a map as somebody reads them: in the order of the inputs, or as they come; in bounded memory."""

import asyncio
from array import array
from typing import Protocol

from yurt.domain.records import Result
from yurt.pools.span import Span
from yurt.ports import Maps

HELD = 1000
"""Results that a reader keeps while it cannot show them yet."""
HELD_BYTES = 4 << 20
"""The same in bytes: beyond either, a result is read from the store when its turn comes."""
BATCH = 500
"""Results that are shown, or read from the store, at once."""


class Output(Protocol):
    """A reader of a map's results."""

    @property
    def shown(self) -> int:
        """How many it has shown."""

    async def ready(self) -> list[tuple[int, Result]]:
        """The next results with their indices, as far as there are any now."""

    async def news(self) -> None:
        """Return when there may be more."""

    def ended(self, index: int, result: Result) -> None:
        """An input has ended."""

    def changed(self) -> None:
        """The map was sealed, failed or ended."""


class _Held:
    """Results that came before their turn."""

    def __init__(self) -> None:
        self._results: dict[int, Result] = {}
        self._bytes = 0

    def keep(self, index: int, result: Result, *, must: bool = False) -> bool:
        """Keep a result if there is room, or if it `must` be kept."""
        size = size_of(result)
        if not must and (len(self._results) >= HELD or self._bytes + size > HELD_BYTES):
            return False
        self._results[index] = result
        self._bytes += size
        return True

    def take(self, index: int) -> Result | None:
        """Give back a result, if it was kept."""
        result = self._results.pop(index, None)
        if result is not None:
            self._bytes -= size_of(result)
        return result


def size_of(result: Result) -> int:
    """The bytes of a result that are in memory."""
    value = result.value.data if result.value is not None else None
    return len(value or b"") + len(result.error_json or b"")


class InOrder:
    """Results by index. What ends long before its turn is read from the store when that comes.

    Args:
        store: has what has ended.
        span: the map's inputs.
        start: the first index to show.
        unseen: some inputs ended before this reader came.
    """

    def __init__(self, store: Maps, span: Span, start: int = 0, *, unseen: bool = False) -> None:
        self.next = start
        self._start = start
        self._store = store
        self._span = span
        self._held = _Held()
        self._stored_below = span.size if unseen else start
        self._missing = -1
        self._wake = asyncio.Event()

    @property
    def shown(self) -> int:
        """How many it has shown, with those before its start."""
        return self.next

    def ended(self, index: int, result: Result) -> None:
        """An input has ended."""
        if index < self.next:
            return
        if not self._held.keep(index, result, must=index == self.next):
            self._stored_below = max(self._stored_below, index + 1)
        if index == self.next:
            self._wake.set()

    def changed(self) -> None:
        """The map was sealed, failed or ended."""
        self._wake.set()

    async def news(self) -> None:
        """Return when there may be more."""
        await self._wake.wait()
        self._wake.clear()

    async def ready(self) -> list[tuple[int, Result]]:
        """The next results, without a gap."""
        self._wake.clear()
        out: list[tuple[int, Result]] = []
        while len(out) < BATCH and (result := self._held.take(self.next)) is not None:
            out.append((self.next, result))
            self.next += 1
        if out or self.next >= min(self._stored_below, self._span.size) or self._missing == self.next:
            return out
        return await self._read()

    async def _read(self) -> list[tuple[int, Result]]:
        first, last = self._span.seqs(self.next)
        begun = self.next
        rows = await self._store.results(first, last, limit=BATCH)
        out = []
        for seq, row in enumerate(rows, first):
            if row.seq != seq:
                break
            self._held.take(self.next)
            out.append((self.next, row))
            self.next += 1
        if not out:
            self._missing = begun
        if not out and (result := self._held.take(self.next)) is not None:
            out.append((self.next, result))
            self.next += 1
        return out


class AsTheyCome:
    """Results in the order of their commits, from the first one on."""

    def __init__(self, store: Maps, span: Span) -> None:
        self.shown = 0
        self._store = store
        self._span = span
        self._held = _Held()
        self._order = array("q")
        self._wake = asyncio.Event()

    def ended(self, index: int, result: Result) -> None:
        """An input has ended."""
        self._order.append(index)
        self._held.keep(index, result)
        self._wake.set()

    def changed(self) -> None:
        """The map was sealed, failed or ended."""
        self._wake.set()

    async def news(self) -> None:
        """Return when there may be more."""
        await self._wake.wait()
        self._wake.clear()

    async def ready(self) -> list[tuple[int, Result]]:
        """The next results."""
        self._wake.clear()
        indices = self._order[self.shown : self.shown + BATCH]
        found = {index: result for index in indices if (result := self._held.take(index)) is not None}
        for index in indices:
            if index not in found:
                await self._read_around(index, set(indices), found)
        self.shown += len(indices)
        return [(index, found[index]) for index in indices]

    async def _read_around(self, index: int, wanted: set[int], found: dict[int, Result]) -> None:
        """Read a result that was not kept, and those after it in its block that are wanted too."""
        first, last = self._span.seqs(index)
        for row in await self._store.results(first, last, limit=BATCH):
            at = index + row.seq - first
            if at in wanted:
                found.setdefault(at, row)
