"""The loop that delivers callbacks: those that are due, a few at once for each host."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from yurt.domain.errors import Unavailable
from yurt.domain.records import Callback
from yurt.ports import Clock
from yurt.usecases.callbacks import Callbacks

LOOK_EVERY_S = 1.0
"""How late an attempt may be that falls due by time alone, in seconds."""
AT_ONCE = 64
PER_HOST = 4
"""A host that is slow takes this many places and no more."""
WRITE_AGAIN_S = 1.0

Tell = Callable[[int], Awaitable[tuple[str, bytes | None]]]
"""Given a call's number, its visible id and what a receiver is told; None where the call is no longer kept."""

log = structlog.get_logger(__name__)


class Deliveries:
    """The attempts that are under way. What is due stays so in the store until it is settled: nothing is lost."""

    def __init__(self, callbacks: Callbacks, tell: Tell, clock: Clock) -> None:
        self._callbacks = callbacks
        self._tell = tell
        self._clock = clock
        self._running: dict[int, asyncio.Task[None]] = {}
        self._hosts: Counter[str] = Counter()
        self._settled: set[int] = set()
        self._failure: BaseException | None = None

    async def run(self) -> NoReturn:
        """Look, deliver, wait; for ever. Its own end ends what is under way."""
        news = self._callbacks.news
        try:
            while True:
                news.clear()
                if self._failure is not None:
                    raise self._failure
                if self._callbacks.used:
                    await self._look()
                await self._wait(news)
        finally:
            await self._stop()

    async def _wait(self, news: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await news.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        """Begin what is due, as far as there is room."""
        room = AT_ONCE - len(self._running)
        if room <= 0:
            return
        busy = [host for host, count in self._hosts.items() if count >= PER_HOST]
        self._settled.clear()
        try:
            # Those under way are still due in the store.
            due = await self._callbacks.due(busy=busy, limit=room + len(self._running))
        except Unavailable as error:
            log.warning("callbacks_not_read", reason=str(error))
            return
        for callback in due:
            # What was settled while the store was read may stand in the answer as it was before.
            known = callback.seq in self._running or callback.seq in self._settled
            if known or len(self._running) >= AT_ONCE:
                continue
            if self._hosts[callback.host] < PER_HOST:
                self._begin(callback)
            else:
                self._callbacks.news.set()  # look again, now without this host: others may wait behind it

    def _begin(self, callback: Callback) -> None:
        self._hosts[callback.host] += 1
        task = asyncio.create_task(self._deliver(callback), name=f"callback-{callback.seq}")
        self._running[callback.seq] = task
        task.add_done_callback(lambda task: self._ended(callback, task))

    def _ended(self, callback: Callback, task: "asyncio.Task[None]") -> None:
        del self._running[callback.seq]
        self._settled.add(callback.seq)
        self._hosts[callback.host] -= 1
        if not self._hosts[callback.host]:
            del self._hosts[callback.host]
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
        self._callbacks.news.set()

    async def _deliver(self, callback: Callback) -> None:
        try:
            call_id, body = await self._tell(callback.seq)
            after = await self._callbacks.attempt(callback, call_id, body)
        except Unavailable as error:  # of the store: nothing was sent
            log.warning("callback_postponed", reason=str(error))
            await self._clock.sleep(WRITE_AGAIN_S)
            return
        await self._keep(after)
        if after.failed_at is not None:
            log.warning("callback_given_up", call_id=call_id, attempts=after.attempts, reason=after.last_error)

    async def _keep(self, after: Callback) -> None:
        """Write what became of it; until that is done it must not be sent again."""
        while True:
            try:
                return await self._callbacks.keep(after)
            except Unavailable as error:
                log.warning("callback_not_settled", reason=str(error))
                await self._clock.sleep(WRITE_AGAIN_S)

    async def _stop(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
