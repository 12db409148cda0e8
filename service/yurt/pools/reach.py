"""Reaches inputs that have not ended out of their turn, wherever they are: in memory, or only in the store."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from yurt.domain.endings import Ending
from yurt.domain.records import Timer, TimerKind
from yurt.pools.background import Background
from yurt.pools.families import Families
from yurt.pools.inputs import Input
from yurt.pools.live_map import LiveMap
from yurt.pools.pool import Pool
from yurt.pools.sessions import Held
from yurt.pools.stored import Place, Stored, runs
from yurt.pools.timers import Timers
from yurt.ports import PendingRange


class Reach:
    """Finds them, to end them or to say what became of them.

    Args:
        inputs: every input that is in memory, by number.
        maps: those that have not ended, by number.
        pools: by queue.
        families: which of them belong to one function.
        left: called with inputs that are only in the store from now on.
        cancel: ends an input as cancelled.
        end_orphan: ends an input of a function that is gone.
    """

    def __init__(
        self,
        *,
        inputs: Mapping[int, Input],
        maps: Mapping[int, LiveMap],
        pools: Mapping[str, Pool],
        families: Families,
        stored: Stored,
        timers: Timers,
        background: Background,
        left: Callable[[Sequence[Input]], None],
        cancel: Callable[[Input, str], bool],
        end_orphan: Callable[[Input], None],
    ) -> None:
        self._inputs = inputs
        self._maps = maps
        self._pools = pools
        self._families = families
        self._stored = stored
        self._timers = timers
        self._background = background
        self._to_store = left
        self._cancel = cancel
        self._end_orphan = end_orphan

    def bury(self, where: PendingRange) -> None:
        """End all pending calls of a range: their function is gone."""
        self._background.run("end-orphans", self._bury(self._stored.range(where)))

    def bury_held_back(self, queue: str) -> None:
        """End all calls that wait for a time of their own: their function is gone."""
        self._background.run("end-orphans", self._bury(self._stored.held_back(queue)))

    async def _bury(self, batches: AsyncGenerator[list[Input]]) -> None:
        async for items in batches:
            for item in items:
                self._end_orphan(item)

    async def fetch(self, seqs: Sequence[int]) -> list[Input]:
        """Bring inputs that have not ended into memory, of calls and of maps, but for those that are there.

        Each must be told to `taken`, and ended, queued or `put_back`, before anything else is awaited.

        Raises:
            Unavailable: the store cannot be read.
        """
        items: list[Input] = []
        try:
            for found in list(self._maps.values()):
                for first, last in runs(seq for seq in seqs if seq in found.span):
                    items += await self._stored.fetch_of_map(found, first, last)
            return items + await self._stored.fetch(seqs)
        except BaseException:
            self._to_store(items)  # nobody else knows of them
            raise

    def taken(self, item: Input) -> Pool | None:
        """An input was fetched from the store: it is not one of those that its pool has there any more."""
        pool = self._pools.get(item.queue)
        if pool is not None and item.start_at is not None:
            pool.held_back = max(0, pool.held_back - 1)
        elif pool is not None and (item.group is not None or item.seq <= self._stored.newest):
            pool.queue.taken(item)
        return pool

    def put_back(self, pool: Pool, item: Input) -> None:
        """An input was fetched from the store for nothing."""
        if item.ending:
            return
        if item.start_at is not None:
            pool.held_back += 1
            self._timers.keep(Timer(item.seq, TimerKind.START, item.start_at))  # it may have been due meanwhile
            self._to_store((item,))
        else:
            pool.enqueue(item)

    async def held_back(self, pool: Pool) -> AsyncGenerator[list[Input]]:
        """Calls of a function that wait in the store for a time of their own; those that are not ended go on so."""
        async for items in self._stored.held_back(pool.id):
            for item in items:
                self.taken(item)
            try:
                yield items
            finally:
                for item in items:
                    self.put_back(pool, item)

    async def waiting(self, function_id: str) -> AsyncGenerator[list[Input]]:
        """The inputs of a function that no container holds, those of maps apart: queued, delayed, to be retried.

        They come in batches. Who takes a batch ends what it wants to end before it asks for the next one.
        """
        for pool in self._families.all(function_id):
            async with aclosing(self._waiting(pool)) as batches:
                async for items in batches:
                    yield items

    async def _waiting(self, pool: Pool) -> AsyncGenerator[list[Input]]:
        places = self._stored.places(stream for stream in pool.queue.streams if stream.found is None)
        parked = (self._inputs[seq] for seq in pool.parked)
        yield [item for item in (*pool.queue, *parked) if item.group is None]
        async for items in self._stored.walk(pool, places):
            yield [item for item in items if item.member is None]
        async for items in self.held_back(pool):
            yield items

    async def cancel(self, seq: int, by: str) -> Input | None:
        """End a call that has not ended, wherever it is, as cancelled; None where it has ended, or is none.

        Raises:
            Unavailable: the store cannot be read.
        """
        while seq not in self._inputs:
            with self._stored.watched() as changed:
                items = await self._stored.fetch([seq])
            for item in items:
                self.taken(item)
            if items or seq not in changed:
                break  # else it has ended or was held back during the read, which tells nothing then
        found = self._inputs.get(seq)
        if found is not None:
            self._cancel(found, by)
        return found

    def fail_rest(self, pool: Pool, ending: Ending) -> None:
        """End what is in the store now and waits in the queue of `pool`."""
        places = self._stored.places(pool.queue.streams)
        if places:
            self._background.run("fail-queued", self._fail_stored(pool, places, ending))

    async def _fail_stored(self, pool: Pool, places: Sequence[Place], ending: Ending) -> None:
        async for items in self._stored.walk(pool, places):
            for item in items:
                pool.endings.fail(item, ending)

    async def rest_of_map(self, found: LiveMap) -> AsyncGenerator[list[Input]]:
        """What has not ended of a map that was ended as a whole; nothing of it is handed out any more."""
        pool = self._pools.get(found.queue)
        if pool is not None:
            pool.queue.close(found)
        yield list(found.open.values())
        async for items in self._stored.rest_of_map(found):
            yield items

    async def meet(self, holds: Sequence[Held]) -> None:
        """Bring what a reconnecting container says that it holds into memory, so that it can be adopted.

        Raises:
            Unavailable: the store cannot be read.
        """
        absent = [held.seq for held in holds if held.seq not in self._inputs]
        for item in await self.fetch(absent) if absent else ():
            home = self.taken(item)
            if home is None:
                self._end_orphan(item)
            elif item.start_at is not None:
                self.put_back(home, item)
            else:
                home.recovering[item.seq] = item
