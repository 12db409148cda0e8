"""What happens to a call, as it happens."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from yurt.domain.records import CallStatus, Role
from yurt.ports import LogLine, LogQuery, Logs
from yurt.usecases.calls import Calls, View
from yurt.usecases.principals import Principal

LOOK_AGAIN_S = 1.0
"""How often the reason of a waiting call is looked at, in seconds."""

LAST_LINES_S = 0.3
"""How long the last lines of an ended call may take to arrive, in seconds."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a call.

    Args:
        kind: `state` (running), `pending` (a new reason), `log`, or `end`.
        view: the call as it stood, for all but `log`.
        line: what was written, for `log`.
    """

    kind: str
    view: View | None = None
    line: LogLine | None = None


class Events:
    """Follows calls."""

    def __init__(self, calls: Calls, logs: Logs) -> None:
        self._calls = calls
        self._logs = logs

    async def follow(
        self, principal: Principal, call_id: str, *, since: float | None = None
    ) -> AsyncGenerator[Event, None]:
        """The call's state now, each change of it, its log lines after `since`, and its end; then no more.

        Log lines are told to those alone who may read logs.

        Raises:
            NotFound: there is no such call, or the caller may not know of it.
        """
        view, _ = await self._calls.get(principal, call_id)
        queue: asyncio.Queue[Event] = asyncio.Queue(maxsize=1000)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._watch(principal, call_id, queue), name="events-states")]
            if principal.allows(Role.DEPLOY):
                tasks.append(group.create_task(self._copy_logs(view.call.seq, since, queue), name="events-logs"))
            try:
                while True:
                    event = await queue.get()
                    yield event
                    if event.kind == "end":
                        return
            finally:
                for task in tasks:
                    task.cancel()

    async def _copy_logs(self, seq: int, since: float | None, queue: asyncio.Queue[Event]) -> None:
        async for line in self._logs.follow(LogQuery(seq=seq, since=since)):
            await queue.put(Event("log", line=line))

    async def _watch(self, principal: Principal, call_id: str, queue: asyncio.Queue[Event]) -> None:
        told: object = None
        while True:
            view, _ = await self._calls.get(principal, call_id)
            if view.result is not None:
                await asyncio.sleep(LAST_LINES_S)
                await queue.put(Event("end", view))
                return
            reason = view.pending_reason
            now = (view.status, view.attempts, (reason.code, reason.message) if reason is not None else None)
            if now != told:
                told = now
                await queue.put(Event("state" if view.status is CallStatus.RUNNING else "pending", view))
            await self._changed(principal, call_id)

    async def _changed(self, principal: Principal, call_id: str) -> None:
        item = await self._calls.open_input(principal, call_id)
        if item is None:
            return
        changed = asyncio.Event()
        item.watchers.append(changed.set)
        try:
            async with asyncio.timeout(LOOK_AGAIN_S):
                await changed.wait()
        except TimeoutError:
            pass
        finally:
            item.watchers.remove(changed.set)
