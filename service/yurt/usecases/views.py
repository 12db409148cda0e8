"""Calls as they stand, whether they are in memory or only in the store."""

import msgspec
from msgspec import structs

from yurt.domain.errors import CallExpired
from yurt.domain.ids import Tags
from yurt.domain.maps import Counts
from yurt.domain.reasons import PendingReason
from yurt.domain.records import Call, CallKind, CallStatus, Map, Result, status_of
from yurt.pools.heart import Heart
from yurt.pools.inputs import Input, call_of, restore
from yurt.pools.live_map import LiveMap
from yurt.pools.span import Span
from yurt.ports import Clock, Store, StoredCall


class MapView(msgspec.Struct, frozen=True):
    """What a call of several inputs has beside other calls.

    Args:
        size: inputs accepted so far.
        counts: of those that have ended.
        running: of the others, how many run.
    """

    record: Map
    size: int
    counts: Counts
    running: int = 0


class View(msgspec.Struct, frozen=True):
    """A call as it stands.

    Args:
        result: how it ended, or None while it has not.
        running: whether it runs; False means that it waits.
        started_at: of the running attempt, seconds since 1970.
        attempts: begun so far.
        pending_reason: why it waits.
        inputs: of a map alone.
        items: of a generator alone, how many there are so far.
    """

    call: Call
    result: Result | None
    running: bool = False
    started_at: float | None = None
    attempts: int = 0
    pending_reason: PendingReason | None = None
    inputs: MapView | None = None
    items: int | None = None

    @property
    def status(self) -> CallStatus:
        """The contract's word for it."""
        if self.result is not None:
            return status_of(self.result.outcome)
        return CallStatus.RUNNING if self.running else CallStatus.PENDING


class Views:
    """Puts together what is known of a call.

    Args:
        heart: what is open, in memory.
        store: what has ended, and what waits and is not in memory.
    """

    def __init__(self, heart: Heart, store: Store, tags: Tags, clock: Clock) -> None:
        self._heart = heart
        self._store = store
        self._tags = tags
        self._clock = clock

    def of_input(self, item: Input) -> View:
        """An open input as it stands."""
        call = call_of(item)
        running = item.running
        started = (item.started_at or item.dispatched_at) if running else None
        attempts = item.history.number if running else item.history.number - 1
        reason = None if running else self._heart.pending_reason(item)
        items = item.items.stored.items if item.items is not None else None
        return View(call, None, running, started, attempts, reason, None, items)

    async def of_stored(self, stored: StoredCall) -> View:
        """A call as the store has it; what waits need not be in memory.

        What had not ended as the store was read may have ended since: then it is read once more, so that nothing is
        told as waiting that has left.

        Raises:
            CallExpired: it is no longer kept.
        """
        if stored.call.kind == CallKind.MAP:
            return await self._of_map(stored)
        if stored.result is None:
            item = self._heart.inputs.get(stored.call.seq) or await self._left_in_store(stored.call)
            if item is not None:
                return self.of_input(item)
            stored = await self._read_again(stored.call)
        return View(stored.call, stored.result)

    async def _read_again(self, call: Call) -> StoredCall:
        stored = await self._store.calls.get(call.seq)
        if stored is None:
            raise expired(self._tags.call_id(call.seq))
        return stored

    async def _left_in_store(self, call: Call) -> Input | None:
        """An input that waits and is not in memory, with its place in time; None if it has ended."""
        found = await self._store.maps.pending([call.seq])
        if not found:
            return None
        item = restore(found[0], self._tags.suffix(call.seq))
        if item.start_at is not None and item.start_at <= self._clock.now():
            item.start_at = None
        return item

    async def _of_map(self, stored: StoredCall) -> View:
        found = self._heart.maps.open.get(stored.call.seq)
        if found is not None:
            view = self._of_live_map(found)
            return view if found.open else structs.replace(view, pending_reason=await self._reason_of(found))
        if stored.result is None:
            stored = await self._read_again(stored.call)
        known = await self._store.maps.get(stored.call.seq)
        if known is None:
            raise expired(self._tags.call_id(stored.call.seq))
        record, blocks = known
        counts = Counts(record.success, record.failure, record.terminated)
        inputs = MapView(record, Span(blocks).size, counts)
        return View(stored.call, stored.result, inputs=inputs)

    async def _reason_of(self, found: LiveMap) -> PendingReason | None:
        """Why the first open input of a map waits, of which nothing is in memory."""
        place, last = 0, found.span.last_seq
        while place < last:
            page = await self._heart.stored.page_of_map(found, place, last, 1)
            if page.rows:
                return self._heart.pending_reason(self._heart.seen_of_row(found, page.rows[0]))
            place = page.reached
        return None

    def _of_live_map(self, found: LiveMap) -> View:
        """An open map as it stands."""
        running, reason = self._heart.state_of_map(found)
        inputs = MapView(found.record, found.span.size, found.counts, running)
        begun = bool(running or found.counts.total)
        return View(found.call, None, begun, found.accepted.created_at if begun else None, 0, reason, inputs)


def expired(call_id: str) -> CallExpired:
    """For an id that this store gave out, which its tag shows: the call was accepted, and is not kept any more."""
    return CallExpired(f"{call_id} has ended, and its results were kept as long as this server keeps them.")
