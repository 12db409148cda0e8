"""Items of generators: into the store as they come, then to whoever reads them, and credit back to the generator."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol

import msgspec
import structlog

from yurt.domain.changes import Change, Insert, Save
from yurt.domain.endings import Ending
from yurt.domain.errors import Unavailable
from yurt.domain.items import GAP, NOT_JSON, Amount, credit, forged, lines_of, not_in_maps, too_much
from yurt.domain.records import Claim, ItemBlock, Outcome
from yurt.pools.background import Background
from yurt.pools.inputs import Input
from yurt.pools.ledger import BLOB_ABOVE_BYTES, BLOB_RETRY_S, Ledger
from yurt.pools.live_items import LiveItems, Yielding
from yurt.ports import Blobs, Clock
from yurt_runner import wire

WINDOW = Amount(wire.ITEM_WINDOW, wire.ITEM_WINDOW_BYTES)
"""How far a generator may go beyond what is stored, and beyond what its callers have read."""

log = structlog.get_logger(__name__)


class Reader(Protocol):
    """Somebody who is told of items as they are committed."""

    @property
    def seen(self) -> Amount | None:
        """How far it has come, where the generator is to wait for it; None where it is not."""

    def stored(self, block: ItemBlock) -> None:
        """Items are committed. Must not raise and not block."""


class _Said(msgspec.Struct):
    """The meta part of an ITEM."""

    first: int
    count: int


_said = msgspec.json.Decoder(_Said).decode


class ItemDesk:
    """What becomes of items.

    Args:
        inputs: every input that is in memory, by number.
        limit_bytes: the most that is stored of one input.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        blobs: Blobs,
        clock: Clock,
        background: Background,
        inputs: Mapping[int, Input],
        limit_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._background = background
        self._inputs = inputs
        self._limit_bytes = limit_bytes
        self._readers: dict[int, list[Reader]] = {}

    # ------------------------------------------------------------------ from the container

    def take(self, item: Input, member: Yielding, frame: wire.Frame) -> Ending | None:
        """Take items of a running input. Returns what ends it instead, if they are not to be taken."""
        if item.group is not None:
            return not_in_maps()
        try:
            said = _said(frame.meta)
        except msgspec.MsgspecError:
            return forged(NOT_JSON)
        live = item.items
        if live is None:
            live = item.items = LiveItems(Amount())
        live.member = member
        if said.first != live.taken.items:
            if said.first > live.taken.items:
                return forged(GAP)
            self._tell(item, live)  # they came twice, after a broken connection
            return None
        data = lines_of(frame.payload, said.count)
        if data is None:
            return forged(NOT_JSON)
        size = len(data) + 1  # with the end of each line, as both sides count it
        if live.taken.bytes + size > self._limit_bytes:
            return too_much(live.added.items, self._limit_bytes)
        live.taken = Amount(live.taken.items + said.count, live.taken.bytes + size)
        self._write(item, live, ItemBlock(item.seq, said.first, said.count, live.taken.bytes, data))
        return None

    def ended(self, item: Input, ending: Ending, end: Callable[[Ending], None]) -> None:
        """The attempt has ended of an input that yielded: `end` is called once all its items are with the journal.

        It is the end of the input too: what was shown is never begun again.
        """
        live = item.items
        taken = live.taken.items if live is not None else 0
        if item.group is not None:
            ending = not_in_maps()
        elif ending.outcome is Outcome.SUCCESS and ending.items != taken:
            ending = forged("an end that does not fit its items")
        if live is not None and live.waiting:
            live.then = partial(end, ending)
        else:
            end(ending)

    def _write(self, item: Input, live: LiveItems, block: ItemBlock) -> None:
        if live.waiting:
            live.waiting.append(block)
        elif block.data is not None and len(block.data) > BLOB_ABOVE_BYTES:
            live.waiting.append(block)
            self._background.run("store-items", self._write_waiting(item, live))
        else:
            self._add(item, live, block)

    async def _write_waiting(self, item: Input, live: LiveItems) -> None:
        """Write the blocks that wait: large ones as blobs, the others behind them in their order."""
        while live.waiting and not item.ending:
            block = live.waiting[0]
            if block.data is not None and len(block.data) > BLOB_ABOVE_BYTES:
                block = replace(block, data=None, blob=await self._put(item, block.data))
            if not item.ending:
                live.waiting.popleft()
                self._add(item, live, block)
        live.waiting.clear()
        then, live.then = live.then, None
        if then is not None and not item.ending:
            then()

    async def _put(self, item: Input, data: bytes) -> str:
        while True:
            try:
                return await self._blobs.put(data)
            except Unavailable as error:
                log.warning("items_not_stored", input_id="in-" + item.suffix, reason=str(error))
                await self._clock.sleep(BLOB_RETRY_S)

    def _add(self, item: Input, live: LiveItems, block: ItemBlock) -> None:
        """Commit a block; the first one together with who runs the input: so no restart runs it a second time."""
        changes: tuple[Change, ...] = (Insert(block),)
        if not item.claimed and item.member is not None:
            item.claimed = True
            changes += (Save(Claim(item.seq, item.member.id, item.token, item.started_at or self._clock.now())),)
        live.added = Amount(block.end, block.total_bytes)
        self._ledger.write(item.seq)
        self._ledger.soon(changes, partial(self._stored, item, live, block))

    def _stored(self, item: Input, live: LiveItems, block: ItemBlock, error: Exception | None) -> None:
        """The block is committed: now, and only now, it is shown."""
        if error is not None:
            log.error("items_refused", input_id="in-" + item.suffix, error=str(error))
            return
        live.stored = Amount(block.end, block.total_bytes)
        for reader in self._readers.get(item.seq, ()):
            reader.stored(block)
        self._tell(item, live)

    # ------------------------------------------------------------------ to the container

    def _tell(self, item: Input, live: LiveItems) -> None:
        """Tell the generator what is stored, and how far it may go."""
        link = live.member.link if live.member is not None else None
        if link is None or item.ending:
            return
        live.granted = self._granted(item.seq, live)
        body = wire.CREDITED.pack(live.stored.items, *live.granted)
        link.send(wire.pack(wire.CREDIT, item.seq, item.token, body))

    def _granted(self, seq: int, live: LiveItems) -> Amount:
        callers = [seen for reader in self._readers.get(seq, ()) if (seen := reader.seen) is not None]
        return credit(live.stored, callers, WINDOW)

    def adopted(self, item: Input, member: Yielding) -> None:
        """A container said, once more, that it runs the input: tell it what is stored."""
        if item.items is not None:
            item.items.member = member
            self._tell(item, item.items)

    def moved(self, seq: int) -> None:
        """A reader came, has come further, or left: tell the generator if that is worth a message."""
        item = self._inputs.get(seq)
        if item is None or item.items is None:
            return
        now, told = self._granted(seq, item.items), item.items.granted
        if now.items - told.items >= WINDOW.items // 4 or now.bytes - told.bytes >= WINDOW.bytes // 4:
            self._tell(item, item.items)

    # ------------------------------------------------------------------ to readers

    @contextmanager
    def reading(self, seq: int, reader: Reader) -> Iterator[None]:
        """Tell `reader` of items of the input as they are committed."""
        self._readers.setdefault(seq, []).append(reader)
        try:
            yield
        finally:
            found = self._readers[seq]
            found.remove(reader)
            if not found:
                del self._readers[seq]
            self.moved(seq)

    def stored(self, seq: int) -> int:
        """How many items of an input are committed, while it has not ended."""
        item = self._inputs.get(seq)
        return item.items.stored.items if item is not None and item.items is not None else 0
