"""Lets what is due happen: inputs begin at a time of their own, and end if they did not begin in time."""

from collections.abc import Sequence
from functools import partial

import structlog

from yurt.domain.changes import Change, Ready, Remove
from yurt.domain.errors import Unavailable
from yurt.domain.records import Timer, TimerKind
from yurt.pools.heart import Heart
from yurt.pools.inputs import Input
from yurt.pools.ledger import Ledger
from yurt.pools.pool import LOOK_AGAIN_S
from yurt.ports import Maps

BATCH = 500
"""Timers that are dealt with in one turn of the loop."""

log = structlog.get_logger(__name__)


class Later:
    """What the loop of the timers does.

    Args:
        reads: of the store.
    """

    def __init__(self, heart: Heart, ledger: Ledger, reads: Maps) -> None:
        self._heart = heart
        self._ledger = ledger
        self._reads = reads
        self._timers = heart.timers

    async def fire(self) -> float | None:
        """Let a batch of what is due happen; returns when there is more, on the monotonic clock.

        Raises:
            Unavailable: the store cannot be read. Nothing is lost by that.
        """
        if self._timers.wants_more:
            await self._read()
        absent: dict[TimerKind, list[int]] = {TimerKind.START: [], TimerKind.EXPIRE: []}
        for seq, kind in self._timers.due(BATCH):
            item = self._heart.inputs.get(seq)
            if item is None:
                absent[kind].append(seq)
            else:
                self._fire(item, kind)
        try:
            await self._start(absent[TimerKind.START])
            await self._expire(absent[TimerKind.EXPIRE])
        except Unavailable:
            for kind, seqs in absent.items():
                for seq in seqs:
                    self._timers.arm(seq, kind, LOOK_AGAIN_S)
            raise
        return self._timers.next()

    async def _read(self) -> None:
        """Read the next timers."""
        after, wanted = self._timers.horizon, self._timers.begin()
        if after is None:
            raise RuntimeError("there are no timers behind the last one")
        try:
            found = await self._reads.timers(after, limit=wanted)
        except BaseException:
            self._timers.fail()
            raise
        self._timers.fill(found, over=len(found) < wanted)

    def _fire(self, item: Input, kind: TimerKind) -> None:
        pool = self._heart.pools.get(item.queue)
        if pool is None:
            return
        if kind is TimerKind.START:
            pool.unpark(item)
        else:
            pool.overdue(item)

    async def _start(self, seqs: Sequence[int]) -> None:
        """Let inputs begin that waited in the store."""
        if not seqs:
            return
        items = await self._heart.reach.fetch(seqs)
        for item in items:
            pool = self._heart.reach.taken(item)
            if pool is None:
                self._heart.end_orphan(item)
            elif item.start_at is None:
                pool.enqueue(item)  # it was told of twice, and has begun to wait
            else:
                changes: tuple[Change, ...] = (Remove(Timer, (item.seq, TimerKind.START)),)
                if item.group is None:
                    changes += (Ready(item.seq, item.queue, item.caller, item.priority),)
                self._ledger.soon(changes, partial(self._started, item))

    def _started(self, item: Input, error: Exception | None) -> None:
        """It is committed that the input waits, or was refused by a closing store."""
        pool = self._heart.pools.get(item.queue)
        if error is not None:
            log.error("start_refused", input_id="in-" + item.suffix, error=str(error))
        elif pool is not None:
            pool.begin(item)

    async def _expire(self, seqs: Sequence[int]) -> None:
        """Look at inputs that are overdue, and were only in the store."""
        if not seqs:
            return
        for item in await self._heart.reach.fetch(seqs):
            pool = self._heart.reach.taken(item)
            if pool is None:
                self._heart.end_orphan(item)
            else:
                pool.overdue(item)
                self._heart.reach.put_back(pool, item)
        for seq in seqs:
            found = self._heart.inputs.get(seq)
            if found is not None:  # meanwhile somebody else has brought it into memory
                self._fire(found, TimerKind.EXPIRE)
