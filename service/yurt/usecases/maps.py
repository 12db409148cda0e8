"""Maps: inputs taken as they come, and results shown as they end."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from yurt.domain.errors import YurtError
from yurt.domain.functions import LiveFunction
from yurt.domain.records import Result
from yurt.pools.heart import Heart
from yurt.pools.live_map import LiveMap, Reader
from yurt.pools.span import Span
from yurt.ports import Store
from yurt.usecases.outputs import AsTheyCome, InOrder, Output
from yurt.usecases.principals import Principal


class Upload:
    """The inputs of one map on their way in. `run` has one owner; the others look at it.

    Attributes:
        map: what becomes of it.
        begun: its first inputs are committed, or it is over.
        refusal: what ended the upload before its end, if some inputs had been accepted by then.
    """

    def __init__(self, heart: Heart, found: LiveMap) -> None:
        self.map = found
        self.begun = asyncio.Event()
        self.refusal: YurtError | None = None
        self._heart = heart

    async def run(self, blocks: AsyncIterator[Sequence[bytes]]) -> None:
        """Accept every block of envelopes, then seal the map; a broken upload seals it with what was accepted.

        Raises:
            YurtError: nothing was accepted, for this reason.
            ConnectionError: nothing was accepted: the client went away.
        """
        maps = self._heart.maps
        try:
            await self._accept(blocks)
            await maps.seal(self.map, truncated=self.refusal is not None)
        finally:
            self.begun.set()

    async def _accept(self, blocks: AsyncIterator[Sequence[bytes]]) -> None:
        try:
            async for block in blocks:
                await self._heart.maps.add(self.map, block)
                self.begun.set()
                if self.map.sealed:
                    return
        except YurtError as error:
            if not self.map.committed:
                raise
            self.refusal = error
        except ConnectionError as error:
            if not self.map.committed:
                raise
            self.refusal = YurtError(f"The upload broke off: {error}")


class MapDesk:
    """What callers ask of maps beyond what they ask of every call."""

    def __init__(self, heart: Heart, store: Store) -> None:
        self._heart = heart
        self._store = store

    def upload(self, principal: Principal, live: LiveFunction, *, return_exceptions: bool) -> Upload:
        """Begin a map; nothing is written before its first inputs.

        Raises:
            AppStopped: the function has just been retired.
            Unavailable: the server is stopping.
        """
        found = self._heart.maps.begin(live, principal.token_id, return_exceptions=return_exceptions)
        return Upload(self._heart, found)

    @contextmanager
    def reading(self, found: LiveMap, *, in_order: bool) -> Iterator[Output]:
        """Read a map that was just begun, from its first result on."""
        output = InOrder(self._store.maps, found.span) if in_order else AsTheyCome(self._store.maps, found.span)
        with _told(found, output):
            yield output

    async def page(self, seq: int, start: int, *, limit: int, wait_s: float) -> tuple[list[tuple[int, Result]], bool]:
        """Results in the order of the inputs from an index on, and whether more can follow.

        Args:
            seq: of the call, which is a map that the caller may see.
            wait_s: how long to wait for the first of them, in seconds.
        """
        found = self._heart.maps.open.get(seq)
        if found is None:
            known = await self._store.maps.get(seq)
            span = Span(known[1], sealed=True) if known is not None else Span(sealed=True)
            output = InOrder(self._store.maps, span, start, unseen=True)
            return await _gather(output, span, limit)
        output = InOrder(self._store.maps, found.span, start, unseen=True)
        with _told(found, output):
            rows, more = await _gather(output, found.span, limit)
            if rows or not more or wait_s <= 0:
                return rows, more
            try:
                async with asyncio.timeout(wait_s):
                    while not rows and more:
                        await output.news()
                        rows, more = await _gather(output, found.span, limit)
            except TimeoutError:
                return [], True
            return rows, more


@contextmanager
def _told(found: LiveMap, reader: Reader) -> Iterator[None]:
    found.readers.append(reader)
    try:
        yield
    finally:
        found.readers.remove(reader)


async def _gather(output: InOrder, span: Span, limit: int) -> tuple[list[tuple[int, Result]], bool]:
    rows: list[tuple[int, Result]] = []
    while len(rows) < limit and (some := await output.ready()):
        rows += some
    rows = rows[:limit]
    last = rows[-1][0] + 1 if rows else output.next
    return rows, not span.sealed or last < span.size
