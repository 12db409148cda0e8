"""Group commit over a writer that takes its time: one group is in flight, what comes meanwhile is the next one."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from yurt.domain.changes import Change
from yurt.outbound.store.errors import StoreAway, StoreDeposed, unavailable
from yurt.outbound.store.journal import Add, JournalBase, settle
from yurt.ports import Clock

CLOSE_WITHIN_S = 10.0
"""How long `close` waits for the last group."""

_log = structlog.stdlib.get_logger(__name__)


class AsyncWriter(Protocol):
    """What commits a group elsewhere: in a thread, or in a database server."""

    async def commit(self, adds: Sequence[Sequence[Change]]) -> dict[int, Exception]:
        """Write all adds in one transaction; returns the refused ones by place.

        Raises:
            StoreAway: trying the same again makes sense; the writer sees to it that nothing is written twice.
            StoreDeposed: this server may never write again.
        """

    async def next_epoch(self) -> int:
        """Commit the next epoch."""


class FlightJournal(JournalBase):
    """`yurt.ports.Journal` over a writer that is awaited.

    Order, refusals and what happens while the store is away are those of `GroupJournal`.

    Args:
        writer: commits one group at a time.
        clock: measures the waiting.
    """

    def __init__(self, writer: AsyncWriter, clock: Clock) -> None:
        super().__init__(clock)
        self._writer = writer
        self._flight: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self.deposed: asyncio.Future[str] = self._loop.create_future()

    async def next_epoch(self) -> int:
        """Commit and return a further epoch of this life.

        Raises:
            Unavailable: the store is away.
        """
        try:
            async with self._writing:
                return await self._writer.next_epoch()
        except (StoreAway, StoreDeposed) as error:
            raise unavailable(f"The store cannot be written: {error}.") from error

    async def flush(self) -> None:
        """Return when everything added so far is committed or refused."""
        if self._waiting or self._flight is not None:
            future = self._loop.create_future()
            self._take(Add((), lambda error: settle(future, error)))
            await future

    async def close(self) -> None:
        """Refuse further adds, try once more to commit what waits, and tell those that it could not be done."""
        self._closed = True
        await self._end_retry()
        flight = self._flight
        if flight is not None:
            await asyncio.wait([flight], timeout=CLOSE_WITHIN_S)
            flight.cancel()
            await asyncio.wait([flight])
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._commit()
        except TimeoutError:
            self._away = self._away or f"no answer within {CLOSE_WITHIN_S:g} s"
        self._abandon("The server is shutting down, and could not write this.")

    def _turn(self) -> None:
        self._armed = False
        if self._flight is None and not (self._held or self._away or self._closed):
            self._flight = self._loop.create_task(self._fly(), name="store-commit")

    async def _fly(self) -> None:
        """Commit group after group until nothing waits."""
        try:
            while self._waiting and not (self._held or self._closed):
                if not await self._commit():
                    break
        finally:
            self._flight = None
        self._arm()

    async def _try(self) -> bool:
        return await self._commit()

    async def _commit(self) -> bool:
        async with self._writing:
            group, self._waiting = self._waiting, []
            if not group or self.deposed.done():
                self._waiting = group
                return not group
            begun = time.perf_counter()
            try:
                refused = await self._writer.commit([add.changes for add in group])
            except StoreAway as reason:
                self._waiting = group + self._waiting
                self._gone(str(reason))
                return False
            except StoreDeposed as reason:
                self._waiting = group + self._waiting
                self._depose(str(reason))
                return False
            except BaseException:
                self._waiting = group + self._waiting
                raise
            self._settled(group, refused, time.perf_counter() - begun)
            return True

    def _depose(self, reason: str) -> None:
        _log.error("store_deposed", reason=reason)
        self._away = reason
        self._closed = True
        if not self.deposed.done():
            self.deposed.set_result(reason)
        self._abandon(reason)
