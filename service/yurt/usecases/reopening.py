"""What an earlier life of the server accepted and did not end: found at the start, and queued again."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import structlog

from yurt.domain.changes import AcceptMap
from yurt.domain.ids import Tags
from yurt.domain.maps import Counts, stopped_by
from yurt.domain.records import Timer, TimerKind
from yurt.pools.heart import Heart
from yurt.pools.inputs import restore, timed_by
from yurt.pools.live_map import LiveMap
from yurt.ports import OpenMap, PendingInput, PendingRange, Store

BATCH = 1000
_Timers: TypeAlias = Mapping[int, Sequence[Timer]]
_Stream: TypeAlias = tuple[str, str, int]
log = structlog.get_logger(__name__)


class Reopening:
    """Puts into memory what has begun, what has a time to start, and the first inputs of each stream.

    The others stay in the store until it is their turn.
    """

    def __init__(self, store: Store, heart: Heart, tags: Tags) -> None:
        self._store = store
        self._heart = heart
        self._tags = tags
        self._timers: _Timers = {}
        self._known: Counter[_Stream] = Counter()

    async def run(self) -> None:
        """Take over every input; those of functions that are gone end as cancelled."""
        for pool in self._heart.pools.values():
            if pool.members:
                pool.queue.hold()  # which of its inputs they hold, they say first
        self._timers = await self._read_timers()
        await self._special()
        waiting = 0
        for where in await self._store.maps.ranges():
            await self._range(where)
            waiting += where.count
        for opened in await self._store.maps.opened():
            await self._map(opened)
        self._heart.recovery.begin()
        if waiting:
            log.info("inputs_reopened", count=waiting)

    async def _read_timers(self) -> _Timers:
        timers: defaultdict[int, list[Timer]] = defaultdict(list)
        for timer in await self._store.records.find(Timer, {}):
            timers[timer.seq].append(timer)
        return timers

    async def _special(self) -> None:
        """Calls that have begun before, and those that are to start at a time of their own."""
        rows = await self._store.maps.started()
        later = [seq for seq, timers in self._timers.items() if any(one.kind == TimerKind.START for one in timers)]
        for first in range(0, len(later), BATCH):
            rows += await self._store.maps.pending(later[first : first + BATCH])
        for row in rows:
            self._call(row)
        for timers in self._timers.values():
            for timer in timers:
                if timer.kind == TimerKind.EXPIRE:
                    self._heart.expire_at(timer)

    def _call(self, row: PendingInput) -> None:
        if row.seq in self._heart.inputs:
            return
        call = row.call
        self._known[call.function_id, call.caller, -call.priority] += 1
        item = restore(row, self._tags.suffix(row.seq), self._timers.get(row.seq, ()))
        self._heart.restore(item)

    async def _range(self, where: PendingRange) -> None:
        """The first calls of a stream, and how many come after them."""
        heart = self._heart
        heart.stored.newest = max(heart.stored.newest, where.last)
        pool = heart.pools.get(where.function_id)
        if pool is None:
            heart.bury(where)
            return
        page = await heart.stored.page_of_calls(where, heart.stored.page)
        for row in page.rows:
            if isinstance(row, PendingInput):
                self._call(row)
        left = where.count - self._known[where.function_id, where.caller, where.rank]
        pool.queue.seed(where.caller, where.rank, None, cursor=page.reached, count=left)

    async def _map(self, opened: OpenMap) -> None:
        found, open_blocks = self._known_map(opened)
        if opened.map.failed_seq is not None:
            failed = await self._store.maps.results(opened.map.failed_seq, opened.map.failed_seq, limit=1)
            found.failed = failed[0] if failed else None
        self._heart.maps.resume(found)
        if found.accepted.function_id not in self._heart.pools:
            self._heart.maps.cancel(found, "app_stopped")
        elif open_blocks and stopped_by(found.record) is None:
            await self._inputs(found, open_blocks[0] - 1)

    async def _inputs(self, found: LiveMap, after: int) -> None:
        """The first inputs of a map behind a number, and those that are to be tried again at a time of their own."""
        heart, row = self._heart, found.accepted
        mine = await heart.stored.fetch_of_map(found, [seq for seq in self._timers if seq in found.span])
        page = await heart.stored.page_of_map(found, after, found.span.last_seq, heart.stored.page)
        mine += heart.stored.fresh(found, page.rows, set())
        for item in mine:
            timed_by(item, self._timers.get(item.seq, ()))
            heart.restore(item)
        left = found.span.size - found.counts.total - len(mine)
        heart.pools[row.function_id].queue.seed(row.caller, -row.priority, found, cursor=page.reached, count=left)

    def _known_map(self, opened: OpenMap) -> tuple[LiveMap, list[int]]:
        """The map, and the first numbers of those of its blocks in which something has not ended."""
        call = opened.call
        row = AcceptMap(
            call.seq,
            call.function_id,
            call.app_id,
            call.kind,
            call.caller,
            call.priority,
            call.created_at,
            call.metadata_json,
        )
        found = self._heart.maps.restore(row, opened.map)
        counts = [0, 0, 0]
        for block, *ended in opened.blocks:
            found.span.add(block)
            counts = [a + b for a, b in zip(counts, ended, strict=True)]
        found.counts = Counts(*counts)
        return found, [block.first_seq for block, *ended in opened.blocks if sum(ended) < block.size]
