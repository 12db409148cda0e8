"""Deletes what is past its days: a few rows at a time, beside everything else."""

from collections.abc import Awaitable, Callable, Sequence

from yurt.domain.changes import Change, Expire, Remove
from yurt.domain.ids import CONTAINER, ulid
from yurt.domain.items import BLOCK_BYTES
from yurt.domain.records import App, Block, Container, ContainerState, Function, IdempotencyKey, ItemBlock, Revision
from yurt.domain.retention import ORPHAN_GRACE_S, ROWS, SLICE_BYTES, slices
from yurt.ports import Blobs, CallFilter, Clock, Store

PAUSE_S = 0.05
"""Between two transactions, in seconds: deleting then takes a twentieth of the loop's time, and 5,000 rows a second."""
BUSY_PAUSE_S = 0.5
"""The same while the journal is busy."""
BUSY_PER_S = 1000.0
"""Changes a second above which it is. It never stops the deleting: the store would grow for ever."""


ITEM_BLOCKS = SLICE_BYTES // BLOCK_BYTES
"""Blocks of items that are deleted in one transaction."""


class Retention:
    """One pass after the other over everything that is kept for a time.

    Args:
        store: what is kept.
        blobs: swept of what no row knows.
        kept_s: how long ended calls and everything about them are kept, in seconds.
        written: how many changes the journal has written so far.
        expire_logs: deletes log lines before a time.
    """

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        clock: Clock,
        *,
        kept_s: float,
        written: Callable[[], int],
        expire_logs: Callable[[float], Awaitable[object]],
    ) -> None:
        self.kept_s = kept_s
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._written = written
        self._expire_logs = expire_logs
        self._seen = (clock.monotonic(), written())

    async def sweep(self) -> None:
        """One pass.

        Raises:
            Unavailable: the store is away; the next pass begins anew.
        """
        before = self._clock.now() - self.kept_s
        await self._expire_logs(before)
        await self._calls(before)
        await self._keys()
        await self._containers(before)
        await self._names(before)
        await self._orphans()

    async def _calls(self, before: float) -> None:
        """Numbers are given in the order of time, so a pass ends at the first call that is too young."""
        after = 0
        while page := await self._store.retention.calls(after=after, limit=ROWS):
            several = {call.seq for call in page if call.several}
            items = {call.seq for call in page if call.items}
            for seqs in slices(page, before):
                for seq in several.intersection(seqs):
                    await self._inputs(seq)
                for seq in items.intersection(seqs):
                    await self._items(seq)
                await self._write(Expire(seqs))
            if page[-1].created_at >= before:
                return
            after = page[-1].seq

    async def _inputs(self, seq: int) -> None:
        """Delete the inputs of a call that is a map, block by block, so that what is left is always known."""
        known = await self._store.maps.get(seq)
        for block in known[1] if known is not None else ():
            last = block.first_seq + block.size - 1
            for first in range(block.first_seq, last + 1, ROWS):
                await self._write(Expire(tuple(range(first, min(first + ROWS, last + 1)))))
            await self._write(Remove(Block, (seq, block.first_idx)))

    async def _items(self, seq: int) -> None:
        """Delete what a generator yielded, some blocks at a time, before its call."""
        while firsts := await self._store.items.firsts(seq, limit=ITEM_BLOCKS):
            await self._write(*(Remove(ItemBlock, (seq, first)) for first in firsts))

    async def _keys(self) -> None:
        after = ("", "", "")
        while page := await self._store.retention.keys(self._clock.now(), after=after, limit=ROWS):
            await self._write(*(Remove(IdempotencyKey, key.key) for key in page if key.over))
            after = page[-1].key

    async def _containers(self, before: float) -> None:
        cursor = ulid(CONTAINER, before, bytes)
        where = {"state": ContainerState.ENDED.value}
        while page := await self._store.records.find(Container, where, before=(cursor,), limit=ROWS):
            old = [row.id for row in page if row.ended_at is not None and row.ended_at < before]
            await self._write(*(Remove(Container, (id_,)) for id_ in old))
            cursor = page[-1].id

    async def _names(self, before: float) -> None:
        """Functions and apps that are gone, once nothing is left that bears their names."""
        for function in await self._store.records.find(Function, {"deleted_at__set": 1}):
            if function.deleted_at is not None and function.deleted_at < before:
                await self._function(function)
        for app in await self._store.records.find(App, {"stopped_at__set": 1}):
            if app.stopped_at is not None and app.stopped_at < before:
                functions = await self._store.records.find(Function, {"app_id": app.id})
                gone = [await self._function(function) for function in functions]
                if all(gone):
                    await self._write(Remove(App, (app.id,)))

    async def _function(self, function: Function) -> bool:
        """Delete a function that is gone, with its revisions, unless calls or containers of it are kept."""
        wanted = CallFilter(function_id=function.id)
        if await self._store.calls.find(wanted, before=None, limit=1, values=False):
            return False
        if await self._store.records.find(Container, {"function_id": function.id}, limit=1):
            return False
        revisions = await self._store.records.find(Revision, {"function_id": function.id})
        for start in range(0, len(revisions), ROWS):
            part = revisions[start : start + ROWS]
            await self._write(*(Remove(Revision, (function.id, revision.number)) for revision in part))
        await self._write(Remove(Function, (function.id,)))
        return True

    async def _orphans(self) -> None:
        before, after = self._clock.now() - ORPHAN_GRACE_S, ""
        while names := await self._blobs.older(before, after=after, limit=ROWS):
            known = await self._store.retention.known_blobs(names)
            await self._remove([name for name in names if name not in known], before)
            after = names[-1]

    async def _remove(self, names: Sequence[str], before: float) -> None:
        for name in names:
            await self._blobs.remove(name, before=before)
        await self._rest()

    async def _write(self, *changes: Change) -> None:
        if changes:
            await self._store.journal.write(*changes)
            await self._rest()

    async def _rest(self) -> None:
        """Leave the loop and the store to others."""
        then, count = self._seen
        now, written = self._seen = (self._clock.monotonic(), self._written())
        busy = now > then and (written - count) / (now - then) > BUSY_PER_S
        await self._clock.sleep(BUSY_PAUSE_S if busy else PAUSE_S)
