"""Maps that have not ended: accepted block by block, counted, failed or cancelled as one, and ended."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import msgspec
import structlog

from yurt.domain.changes import AcceptCall, AcceptInputs, Change, Complete, MapInput, Save
from yurt.domain.endings import cancelled
from yurt.domain.errors import Unavailable
from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.maps import counted, end_of, ends_the_rest, outcome_of, stopped_by
from yurt.domain.records import Block, CallKind, CallStatus, Map, Outcome, Result, Target
from yurt.pools.background import Background
from yurt.pools.inputs import Input
from yurt.pools.ledger import BLOB_ABOVE_BYTES, RETRY_S, Ledger
from yurt.pools.live_map import LiveMap, NewMap
from yurt.pools.numbers import Numbers
from yurt.ports import Blobs, Clock

CANCEL_BATCH = 500
"""Inputs of a map that are ended in one turn of the loop."""

FULL_S = 0.05
"""How soon an upload looks again whether the queue has room, in seconds."""

log = structlog.get_logger(__name__)


class Maps:
    """What becomes of maps.

    Args:
        take: puts committed inputs into the queue of their function.
        cancel: ends one input as cancelled.
        full: whether the queue of a map takes no more now; raises what makes it take none at all.
        ended: called when a map's own end is committed.
        rest: what has not ended of a map that is over, in batches; each is ended before the next one is asked for.

    Attributes:
        open: the maps that have not ended, by their call's number.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        blobs: Blobs,
        clock: Clock,
        numbers: Numbers,
        tags: Tags,
        background: Background,
        take: Callable[[LiveMap, Block, Sequence[MapInput]], None],
        cancel: Callable[[Input, str], bool],
        full: Callable[[str, Target | None], bool],
        ended: Callable[[int, Result], None],
        rest: Callable[[LiveMap], AsyncIterator[list[Input]]],
    ) -> None:
        self.open: dict[int, LiveMap] = {}
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._numbers = numbers
        self._tags = tags
        self._background = background
        self._take = take
        self._cancel = cancel
        self._full = full
        self._ended = ended
        self._rest = rest

    # ------------------------------------------------------------------ in

    def begin(self, live: LiveFunction, new: NewMap) -> LiveMap:
        """A map without inputs, of which nothing is written before its first block.

        Raises:
            AppStopped: the function has just been retired.
            Unavailable: the server is stopping.
        """
        self._full(live.function_id, new.target)
        seq = self._numbers.next()
        row = AcceptCall(
            seq,
            live.function_id,
            live.app_id,
            CallKind.MAP,
            new.caller,
            new.priority,
            self._clock.now(),
            new.metadata_json,
        )
        target = None if new.target is None else replace(new.target, seq=seq)
        return LiveMap(row, self._tags.suffix(seq), Map(seq, new.return_exceptions), self, target)

    async def add(self, found: LiveMap, envelopes: Sequence[bytes]) -> None:
        """Commit inputs, and queue them; waits while the queue is full. A map that is sealed takes none.

        Raises:
            AppStopped: the function was retired.
            Unavailable: the server is stopping, or the store did not take them.
        """
        while self._full(found.accepted.function_id, found.target) and not found.sealed:
            await self._clock.sleep(FULL_S)
        blobs = {at: await self._blobs.put(data) for at, data in enumerate(envelopes) if len(data) > BLOB_ABOVE_BYTES}
        if found.sealed:
            return
        first = self._numbers.take(len(envelopes))
        rows = tuple(
            MapInput(first + at, found.seq, None if at in blobs else data, blobs.get(at))
            for at, data in enumerate(envelopes)
        )
        block = found.span.following(found.seq, first, len(rows))
        found.adding = True
        try:
            await self._write(found, AcceptInputs(rows), Save(block))
            found.span.add(block)
            self._take(found, block, rows)
            found.tell()
        finally:
            found.adding = False
            self._look(found)

    async def _write(self, found: LiveMap, *changes: Change) -> None:
        first = () if found.committed else found.head
        while True:
            written: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
            try:
                self._ledger.now((*first, *changes), written.set_result)
                break
            except Unavailable:
                await self._clock.sleep(RETRY_S)
        error = await asyncio.shield(written)
        if error is not None:
            raise error
        if not found.committed:
            found.committed = True
            self.open[found.seq] = found

    async def _soon(self, *changes: Change) -> None:
        written: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._ledger.soon(changes, written.set_result)
        error = await asyncio.shield(written)
        if error is not None:
            raise error

    async def seal(self, found: LiveMap, *more: Change, truncated: bool) -> None:
        """Take no more inputs, and write `more` with that. A map that is sealed already stays as it is."""
        if found.sealed:
            return
        found.record = replace(found.record, sealed_at=self._clock.now(), truncated=truncated)
        if found.committed:
            await self._soon(Save(found.record), *more)
        else:
            await self._write(found, *more)
        found.span.sealed = True
        found.tell()
        self._look(found)

    def restore(self, row: AcceptCall, record: Map, target: Target | None) -> LiveMap:
        """A map of an earlier life, as the store knows it; its blocks, counts and inputs are the caller's to add."""
        found = LiveMap(row, self._tags.suffix(row.seq), record, self, target)
        found.committed = True
        self.open[row.seq] = found
        return found

    def resume(self, found: LiveMap) -> None:
        """Go on with a restored map: its upload is over, and what had begun to end goes on ending."""
        if not found.sealed:
            found.record = replace(found.record, sealed_at=self._clock.now(), truncated=True)
            self._ledger.soon((Save(found.record),))
        found.span.sealed = True
        if stopped_by(found.record) is not None:
            self._background.run("end-map", self._end_rest(found))
        self._look(found)

    # ------------------------------------------------------------------ out

    def before_end(self, found: LiveMap, item: Input, result: Result) -> Sequence[Change]:
        """The first failure ends a map that is not to bear any: written with that failure."""
        if not ends_the_rest(found.record, result.outcome):
            return ()
        sealed_at = found.record.sealed_at or self._clock.now()
        found.record = replace(found.record, failed_seq=item.seq, sealed_at=sealed_at)
        found.span.sealed = True
        return (Save(found.record),)

    def after_end(self, found: LiveMap, item: Input, result: Result) -> None:
        """Count the end of an input, and tell of it."""
        found.open.pop(item.seq, None)
        found.counts = counted(found.counts, result.outcome)
        for reader in found.readers:
            reader.ended(item.index, result)
        if found.record.failed_seq == item.seq:
            found.failed = result
            found.tell()
            self._background.run("end-map", self._end_rest(found))
        self._look(found)

    def cancel(self, found: LiveMap, by: str) -> None:
        """End the whole map as cancelled: one committed flag first, then its inputs in batches."""
        if found.record.cancelled_by is not None or found.ending:
            return
        sealed_at = found.record.sealed_at or self._clock.now()
        found.record = replace(found.record, cancelled_by=by, sealed_at=sealed_at)
        found.span.sealed = True

        def flagged(error: Exception | None) -> None:
            if error is None:
                self._background.run("end-map", self._end_rest(found))
                self._look(found)

        self._ledger.soon((Save(found.record),), flagged)

    def retire(self, function_id: str, by: str) -> None:
        """The function is gone, and its maps with it."""
        for found in list(self.open.values()):
            if found.accepted.function_id == function_id:
                self.cancel(found, by)

    async def _end_rest(self, found: LiveMap) -> None:
        by = stopped_by(found.record) or "token"
        async for items in self._rest(found):
            for count, item in enumerate(items, 1):
                self._cancel(item, by)
                if count % CANCEL_BATCH == 0:
                    await self._clock.sleep(0)

    def _look(self, found: LiveMap) -> None:
        """End the map if nothing more can come of it."""
        if found.ending or found.adding or not found.committed:
            return
        status = end_of(found.record, found.span.size, found.counts)
        if status is None:
            return
        found.ending = True
        counts = found.counts
        found.record = replace(
            found.record, success=counts.success, failure=counts.failure, terminated=counts.terminated
        )
        result = self._result(found, status)
        row = Complete(
            found.seq, "", "", 0, result.outcome, result.started_at, result.finished_at, 0, None, None, None, None,
            result.error_json,
        )  # fmt: skip

        def done(error: Exception | None) -> None:
            if error is not None:
                log.error("result_refused", call_id="fc-" + found.suffix, error=str(error))
                return
            self.open.pop(found.seq, None)
            self._ended(found.seq, result)
            found.tell()

        self._ledger.soon((row, Save(found.record)), done)

    def _result(self, found: LiveMap, status: CallStatus) -> Result:
        failed = found.failed
        outcome = outcome_of(status, failed.outcome if failed is not None else None)
        error = failed.error_json if failed is not None and status is CallStatus.FAILURE else None
        if outcome is Outcome.CANCELLED:
            ending = cancelled(found.record.cancelled_by or "token")
            told = {"outcome": outcome.value, **ending.error}
            error = msgspec.json.encode(told)
        return Result(found.seq, outcome, found.accepted.created_at, self._clock.now(), 0, None, None, None, error)
