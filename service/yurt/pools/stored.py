"""Inputs that are only in the store: read into memory as there is room for them, or out of their turn."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Generic, TypeAlias, TypeVar

import structlog

from yurt.domain.errors import Unavailable
from yurt.domain.ids import Tags
from yurt.pools.background import Background
from yurt.pools.inputs import Input, restore
from yurt.pools.ledger import Ledger
from yurt.pools.live_map import LiveMap
from yurt.pools.pool import Pool
from yurt.pools.stream import Stream
from yurt.ports import Clock, Maps, PendingInput, PendingRange, WaitingInput

SCAN = 20_000
"""Numbers that one read of a map looks through: where most of its inputs have ended, it takes some milliseconds."""

PAGE_BYTES = 4 << 20
"""What the arguments of one page may take, as far as the page before tells."""

RETRY_S = 0.25
"""How soon a read is tried again that the store did not answer, in seconds."""

log = structlog.get_logger(__name__)


Row: TypeAlias = PendingInput | WaitingInput


R = TypeVar("R", PendingInput, WaitingInput)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """What one read found, and up to which number it is all that there was."""

    rows: Sequence[R]
    reached: int


Place: TypeAlias = tuple[Stream, int]
"""A stream, and the number from behind which on it is walked."""


class Stored:
    """Brings inputs from the store into memory.

    A read shows a state of the store that may be over when its answer comes. Therefore every read is watched: an input
    that is in memory already is the one that counts, and one that has ended since the read began is left out.

    Args:
        reads: of the store.
        inputs: every input that is in memory, by number.
        maps: those that have not ended, by number.
        make: makes an input of a map, and puts it there.
        page: the most inputs that are read at once.

    Attributes:
        newest: the number of the last call whose acceptance was heard of: up to it, streams know what is in the store.
    """

    def __init__(
        self,
        *,
        reads: Maps,
        inputs: dict[int, Input],
        maps: Mapping[int, LiveMap],
        make: Callable[[LiveMap, WaitingInput], Input],
        tags: Tags,
        ledger: Ledger,
        clock: Clock,
        background: Background,
        page: int,
    ) -> None:
        self.page = page
        self.newest = 0
        self._reads = reads
        self._inputs = inputs
        self._maps = maps
        self._make = make
        self._tags = tags
        self._ledger = ledger
        self._clock = clock
        self._background = background
        self._watches: dict[int, set[int]] = {}
        self._reads_begun = count()
        self._mean_bytes = 0.0

    def outdated(self, seq: int) -> None:
        """An input has ended, or is held back, and is no longer in memory: reads under way may not know that."""
        for watch in self._watches.values():
            watch.add(seq)

    @contextmanager
    def watched(self) -> Iterator[set[int]]:
        """Around a read: the inputs of which it may not know since it began that they have ended or are held back."""
        number = next(self._reads_begun)
        watch = self._watches[number] = set()
        try:
            yield watch
        finally:
            del self._watches[number]

    # ------------------------------------------------------------------ in turn

    def refill(self, pool: Pool, stream: Stream) -> None:
        """Read the next inputs of a stream into memory."""
        stream.begin(self._last(stream))
        self._background.run("refill-queue", self._refill(pool, stream, self._room_for(pool, stream)))

    def _last(self, stream: Stream) -> int:
        found = self._map_of(stream)
        return self.newest if found is None else found.span.last_seq

    def _map_of(self, stream: Stream) -> LiveMap | None:
        return None if stream.found is None else self._maps.get(stream.found.seq)

    def _room_for(self, pool: Pool, stream: Stream) -> int:
        """How many inputs to read: fewer where arguments are large."""
        room = pool.queue.window.stream
        by_size = int(PAGE_BYTES / self._mean_bytes) if self._mean_bytes else room
        return max(1, min(room - len(stream), by_size))

    async def _refill(self, pool: Pool, stream: Stream, limit: int) -> None:
        last = stream.reading
        try:
            with self.watched() as gone:
                page = await self._page(pool, stream, stream.cursor, last, limit)
        except Unavailable as error:
            await self._again(pool.id, error)
            pool.queue.retry(stream)
            return
        if not stream.reading:
            return  # it was closed meanwhile
        rows = [row for row in page.rows if row.start_at is None]
        items = self.fresh(self._map_of(stream), rows, gone)
        for item in self._taken(pool, [item for item in items if item.claim is not None]):
            pool.recovering[item.seq] = item
        fresh = [item for item in items if item.claim is None]
        pool.queue.fill(stream, fresh, page.reached, over=page.reached >= last)
        pool.pump()

    async def _page(
        self, pool: Pool, stream: Stream, after: int, last: int, limit: int
    ) -> Page[PendingInput] | Page[WaitingInput]:
        if stream.found is not None:
            found = self._map_of(stream)
            return Page((), last) if found is None else await self.page_of_map(found, after, last, limit)
        where = PendingRange(pool.id, stream.caller, stream.rank, after + 1, last, 0)
        return await self.page_of_calls(where, limit)

    async def page_of_calls(self, where: PendingRange, limit: int) -> Page[PendingInput]:
        """The first pending calls of a range."""
        rows = await self._reads.waiting(where, limit=limit)
        self._weigh(len(row.call.args.data or b"") for row in rows)
        return Page(rows, rows[-1].seq if len(rows) == limit else where.last)

    async def page_of_map(self, found: LiveMap, after: int, last: int, limit: int) -> Page[WaitingInput]:
        """The first inputs of a map behind a number that have not ended."""
        first = found.span.following_seq(after)
        if first is None or first > last:
            return Page((), last)
        end = min(last, first + SCAN - 1)
        rows = await self._reads.inputs(found.seq, first, end, limit=limit)
        self._weigh(len(row.args or b"") for row in rows)
        return Page(rows, rows[-1].seq if len(rows) == limit else end)

    def _weigh(self, sizes: Iterable[int]) -> None:
        known = list(sizes)
        if known:
            self._mean_bytes = sum(known) / len(known)

    def fresh(self, found: LiveMap | None, rows: Iterable[Row], gone: set[int]) -> list[Input]:
        """Make inputs of those rows that are neither in memory nor gone."""
        new = [row for row in rows if row.seq not in self._inputs and row.seq not in gone]
        return [self._new(found, row) for row in new]

    def _new(self, found: LiveMap | None, row: Row) -> Input:
        if isinstance(row, PendingInput):
            item = restore(row, self._tags.suffix(row.seq))
            self._inputs[item.seq] = item
            return item
        if found is None:
            raise TypeError("an input of a map, and no map")
        return self._make(found, row)

    # ------------------------------------------------------------------ out of turn

    async def fetch(self, seqs: Sequence[int]) -> list[Input]:
        """Bring calls of one input that have not ended into memory, but for those that are there.

        They are not queued, and still counted among those in the store: whoever asks sees to that, and ends or queues
        them, before anything else is awaited.

        Raises:
            Unavailable: the store cannot be read.
        """
        with self.watched() as gone:
            rows = await self._reads.pending(seqs)
        return self.fresh(None, rows, gone)

    async def fetch_of_map(self, found: LiveMap, first: int, last: int) -> list[Input]:
        """The same of inputs of a map, from the number `first` to `last`."""
        with self.watched() as gone:
            rows = await self._reads.inputs(found.seq, first, last, limit=last - first + 1)
        return self.fresh(found, rows, gone)

    @staticmethod
    def _taken(pool: Pool, items: list[Input]) -> list[Input]:
        for item in items:
            pool.queue.taken(item)
        return items

    def places(self, streams: Iterable[Stream]) -> list[Place]:
        """Where to begin to `walk` in order to see all that is only in the store now."""
        return [(stream, stream.cursor) for stream in streams if stream.more]

    async def walk(self, pool: Pool, places: Iterable[Place]) -> AsyncGenerator[list[Input]]:
        """What is in the store behind `places`, a page at a time: whoever is given inputs may end them.

        Those that were not ended are queued. The next page is read when the ends are committed. What a refill brings
        into memory meanwhile is among what is given, for it was in the store when the walk began.
        """
        for stream, after in places:
            last, place = self._last(stream), after
            while place < last:
                read = partial(self._page, pool, stream, place, last, self.page)
                page, gone = await self._patiently(pool.id, read)
                rows = [row for row in page.rows if row.start_at is None]
                fresh = self._taken(pool, self.fresh(self._map_of(stream), rows, gone))
                try:
                    yield [item for row in page.rows if (item := self._inputs.get(row.seq)) is not None]
                finally:
                    for item in fresh:
                        if not item.ending:
                            pool.enqueue(item)
                place = page.reached
                await self._ledger.flush()
            pool.queue.look(stream)

    async def rest_of_map(self, found: LiveMap) -> AsyncGenerator[list[Input]]:
        """All inputs of a map that have not ended, a page at a time: whoever is given them ends them."""
        place, last = 0, found.span.last_seq
        while place < last:
            read = partial(self.page_of_map, found, place, last, self.page)
            page, gone = await self._patiently(found.queue, read)
            self.fresh(found, page.rows, gone)
            yield [item for row in page.rows if (item := self._inputs.get(row.seq)) is not None]
            place = page.reached
            await self._ledger.flush()

    async def range(self, where: PendingRange) -> AsyncGenerator[list[Input]]:
        """All pending calls of a range, a page at a time: whoever is given them ends them."""
        place = where.first - 1
        while place < where.last:
            read = partial(self.page_of_calls, replace(where, first=place + 1), self.page)
            page, gone = await self._patiently(where.queue, read)
            yield self.fresh(None, page.rows, gone)
            place = page.reached
            await self._ledger.flush()

    async def held_back(self, queue: str) -> AsyncGenerator[list[Input]]:
        """All calls of a queue that wait for a time of their own, a page at a time; see `fetch`."""
        place = 0
        while True:
            read = partial(self._reads.held_back, queue, after=place, limit=self.page)
            rows, gone = await self._patiently(queue, read)
            if not rows:
                return
            yield self.fresh(None, rows, gone)
            place = rows[-1].seq
            await self._ledger.flush()

    async def _patiently(self, queue: str, read: Callable[[], Awaitable[T]]) -> tuple[T, set[int]]:
        """A watched read, tried until the store answers; with what it may not know."""
        while True:
            try:
                with self.watched() as gone:
                    return await read(), gone
            except Unavailable as error:
                await self._again(queue, error)

    async def _again(self, queue: str, error: Unavailable) -> None:
        log.warning("queue_not_read", queue=queue, reason=str(error))
        await self._clock.sleep(RETRY_S)


def runs(seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Numbers in a row, as the first and the last one of each."""
    first = last = None
    for seq in sorted(seqs):
        if first is None or last is None:
            first = last = seq
        elif seq == last + 1:
            last = seq
        else:
            yield first, last
            first = last = seq
    if first is not None and last is not None:
        yield first, last
