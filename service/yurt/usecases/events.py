"""What happens to a call, as it happens."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack, aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeAlias, TypeVar

from yurt.domain.records import CallStatus, Result, Role
from yurt.ports import LogLine, LogQuery, Logs
from yurt.usecases.calls import Calls
from yurt.usecases.items import ItemReader, Lines
from yurt.usecases.principals import Principal
from yurt.usecases.views import View

T = TypeVar("T")

LOOK_AGAIN_S = 1.0
"""How often the reason of a waiting call is looked at, in seconds."""

ITEM_EVENTS = 8
"""Blocks of items that a follower holds; each has some 64 KiB."""

LAST_LINES_S = 0.3
"""How long the last lines of an ended call may take to arrive, in seconds."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a call.

    Args:
        kind: `state` (running), `pending` (a new reason), `log`, `item`, or `end`.
        view: the call as it stood, for all but `log` and `item`.
        line: what was written, for `log`.
        items: what a generator yielded, for `item`.
    """

    kind: str
    view: View | None = None
    line: LogLine | None = None
    items: Lines | None = None


Tell: TypeAlias = Callable[[Event], Awaitable[None]]


class Following:
    """The events of one call, in order, up to its `end`; gathered by tasks that leaving the `async with` ends."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | Exception] = asyncio.Queue(maxsize=1000)
        self._room = asyncio.Semaphore(ITEM_EVENTS)
        self._tasks: list[asyncio.Task[None]] = []
        self._kept = ExitStack()
        self._over = False

    def keep(self, context: AbstractContextManager[T]) -> T:
        """Enter a context that ends with this."""
        return self._kept.enter_context(context)

    def gather(self, name: str, work: Callable[[Tell], Awaitable[None]]) -> None:
        """Let `work` tell of events; what it raises is raised to the reader."""
        self._tasks.append(asyncio.create_task(self._gather(work), name=name))

    async def _gather(self, work: Callable[[Tell], Awaitable[None]]) -> None:
        try:
            await work(self._tell)
        except Exception as error:  # noqa: BLE001  # handed on: the reader raises it
            await self._queue.put(error)

    async def _tell(self, event: Event) -> None:
        if event.items is not None:
            await self._room.acquire()
        await self._queue.put(event)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._kept.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._over:
            raise StopAsyncIteration
        event = await self._queue.get()
        if isinstance(event, Exception):
            raise event
        if event.items is not None:
            self._room.release()
        self._over = event.kind == "end"
        return event


async def _tell_items(reader: ItemReader, shown: asyncio.Event, tell: Tell) -> None:
    while not reader.over:
        found = await reader.ready()
        for lines in found:
            await tell(Event("item", items=lines))
        if not found:
            await reader.news()
    shown.set()


async def _at_once(_: Result) -> None:
    """Nothing comes before the end."""


class Events:
    """Follows calls."""

    def __init__(self, calls: Calls, logs: Logs) -> None:
        self._calls = calls
        self._logs = logs

    def follow(
        self, principal: Principal, call_id: str, seq: int, *, since: float | None = None, items: int = 0
    ) -> Following:
        """The call's state now, each change, its log lines after `since`, its items from `items` on, and its end.

        Log lines are told to those alone who may read logs. Reading raises `NotFound` where there is no such call, or
        the caller may not know of it, and `CallExpired` where it is no longer kept.

        Args:
            seq: the call's sequence number.
        """
        following = Following()
        reader, shown = following.keep(self._calls.items.reading(seq, items)), asyncio.Event()

        async def last_items(result: Result) -> None:
            reader.ended(result)
            await shown.wait()

        following.gather("events-states", partial(self._watch, principal, call_id, seq, before_end=last_items))
        following.gather("events-items", partial(_tell_items, reader, shown))
        if principal.allows(Role.DEPLOY):
            wanted = LogQuery(seq=seq, since=since)
            following.gather("events-logs", partial(self._copy_logs, principal, call_id, wanted))
        return following

    async def lines(self, principal: Principal, call_id: str, seq: int, wanted: LogQuery) -> AsyncGenerator[LogLine]:
        """The call's log lines, those to come too, until it has ended; one that may read logs is `principal`.

        Args:
            seq: the call's sequence number.
            wanted: which of the call's lines.
        """
        view, _ = await self._calls.get(principal, call_id)
        if view.result is not None:
            for line in await self._logs.read(wanted):
                yield line
            return
        following = Following()
        following.gather("events-states", partial(self._watch, principal, call_id, seq))
        following.gather("events-logs", partial(self._copy_logs, principal, call_id, wanted))
        async with following:
            async for event in following:
                if event.line is not None:
                    yield event.line

    async def _copy_logs(self, principal: Principal, call_id: str, wanted: LogQuery, tell: Tell) -> None:
        await self._calls.get(principal, call_id)
        async with aclosing(self._logs.follow(wanted)) as lines:
            async for line in lines:
                await tell(Event("log", line=line))

    async def _watch(
        self,
        principal: Principal,
        call_id: str,
        seq: int,
        tell: Tell,
        before_end: Callable[[Result], Awaitable[None]] = _at_once,
    ) -> None:
        told: object = None
        changed = asyncio.Event()
        with self._calls.watching(seq, changed.set):
            while True:
                changed.clear()
                view, _ = await self._calls.get(principal, call_id)
                if view.result is not None:
                    await before_end(view.result)
                    await asyncio.sleep(LAST_LINES_S)
                    await tell(Event("end", view))
                    return
                reason = view.pending_reason
                now = (view.status, view.attempts, (reason.code, reason.message) if reason is not None else None)
                if now != told:
                    told = now
                    await tell(Event("state" if view.status is CallStatus.RUNNING else "pending", view))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await changed.wait()
