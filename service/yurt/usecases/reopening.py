"""What an earlier life of the server accepted and did not end: found at the start, and queued again."""

from collections import Counter
from typing import TypeAlias

import structlog

from yurt.domain.changes import AcceptCall
from yurt.domain.ids import Tags
from yurt.domain.maps import Counts, stopped_by
from yurt.pools.heart import Heart
from yurt.pools.inputs import restore
from yurt.pools.live_map import LiveMap
from yurt.pools.pool import Pool
from yurt.ports import OpenMap, PendingInput, PendingRange, Store

_Stream: TypeAlias = tuple[str, str, int]
log = structlog.get_logger(__name__)


class Reopening:
    """Puts into memory what has begun, and the first inputs of each stream.

    The others stay in the store until it is their turn.
    """

    def __init__(self, store: Store, heart: Heart, tags: Tags) -> None:
        self._store = store
        self._heart = heart
        self._tags = tags
        self._seen: set[int] = set()
        self._known: Counter[_Stream] = Counter()
        self._released = False

    async def run(self) -> None:
        """Take over every input; those of functions that are gone end as cancelled."""
        for pool in self._heart.pools.values():
            pool.queue.hold()
        self._heart.stored.newest = self._store.identity.epoch << 32  # numbers of earlier lives are below
        await self._special()
        waiting = 0
        for where in await self._store.maps.ranges():
            await self._range(where)
            waiting += where.count
        for opened in await self._store.maps.opened():
            await self._map(opened)
        self._heart.recovery.begin()
        self._released = True
        for pool in self._heart.pools.values():
            if not pool.members:  # those of others say first which inputs they hold
                pool.queue.release()
        if waiting:
            log.info("inputs_reopened", count=waiting)

    async def _special(self) -> None:
        """Calls that have begun before; how many are held back until a time of their own, which the timers know."""
        for row in await self._store.maps.started():
            if row.start_at is None:
                self._call(row)
        for held in await self._store.maps.count_held_back():
            pool = self._home(held.function_id, held.parameters_json)
            if pool is not None:
                pool.held_back = held.count
            else:
                self._heart.reach.bury_held_back(held.queue)

    def _call(self, row: PendingInput) -> None:
        if row.seq in self._seen:
            return  # though it may have been left to the store again, it is counted
        self._seen.add(row.seq)
        call = row.call
        item = restore(row, self._tags.suffix(row.seq))
        self._known[item.queue, call.caller, -call.priority] += 1
        if call.target is not None:
            self._home(call.function_id, call.target.parameters_json)
        self._heart.restore(item)

    def _home(self, function_id: str, parameters_json: str | None) -> Pool | None:
        """The pool for inputs of an earlier life; one that is made for them reads nothing before all is known."""
        pool = self._heart.families.home(function_id, parameters_json)
        if pool is not None and not self._released:
            pool.queue.hold()
        return pool

    async def _range(self, where: PendingRange) -> None:
        """The first calls of a stream, and how many come after them."""
        heart = self._heart
        page = await heart.stored.page_of_calls(where, heart.stored.page)
        for row in page.rows[:1]:
            target = row.call.target
            self._home(row.call.function_id, None if target is None else target.parameters_json)
        pool = heart.pools.get(where.queue)
        if pool is None:
            heart.reach.bury(where)
            return
        for row in page.rows:
            self._call(row)
        left = where.count - self._known[where.queue, where.caller, where.rank]
        pool.queue.seed(where.caller, where.rank, None, cursor=page.reached, count=left)

    async def _map(self, opened: OpenMap) -> None:
        found, open_blocks = self._known_map(opened)
        if opened.map.failed_seq is not None:
            failed = await self._store.maps.results(opened.map.failed_seq, opened.map.failed_seq, limit=1)
            found.failed = failed[0] if failed else None
        self._heart.maps.resume(found)
        if self._home_of_map(found) is None:
            self._heart.maps.cancel(found, "app_stopped")
        elif open_blocks and stopped_by(found.record) is None:
            await self._inputs(found, open_blocks[0] - 1)

    def _home_of_map(self, found: LiveMap) -> Pool | None:
        parameters = None if found.target is None else found.target.parameters_json
        return self._home(found.accepted.function_id, parameters)

    async def _inputs(self, found: LiveMap, after: int) -> None:
        """The first inputs of a map behind a number."""
        heart, row = self._heart, found.accepted
        page = await heart.stored.page_of_map(found, after, found.span.last_seq, heart.stored.page)
        mine = heart.stored.fresh(found, [row for row in page.rows if row.start_at is None], set())
        for item in mine:
            heart.restore(item)
        left = found.span.size - found.counts.total - len(mine)
        heart.pools[found.queue].queue.seed(row.caller, -row.priority, found, cursor=page.reached, count=left)

    def _known_map(self, opened: OpenMap) -> tuple[LiveMap, list[int]]:
        """The map, and the first numbers of those of its blocks in which something has not ended."""
        call = opened.call
        row = AcceptCall(
            call.seq,
            call.function_id,
            call.app_id,
            call.kind,
            call.caller,
            call.priority,
            call.created_at,
            call.metadata_json,
        )
        found = self._heart.maps.restore(row, opened.map, call.target)
        counts = [0, 0, 0]
        for block, *ended in opened.blocks:
            found.span.add(block)
            counts = [a + b for a, b in zip(counts, ended, strict=True)]
        found.counts = Counts(*counts)
        return found, [block.first_seq for block, *ended in opened.blocks if sum(ended) < block.size]
