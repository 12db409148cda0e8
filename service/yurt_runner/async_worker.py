"""Coroutine functions: on an asyncio loop, interrupted by cancelling their task."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Dict, Optional, Set, Tuple

from yurt_runner import context
from yurt_runner.attempt import Result, Terms, arguments, failure, interrupted, interruption, output, success
from yurt_runner.fork import Links
from yurt_runner.inbox import Inbox
from yurt_runner.printing import Printing
from yurt_runner.wire import Frame

Key = Tuple[int, int]


class AsyncWorker:
    """The loop's owner: takes permits while slots are free, and runs each input as a task.

    Args:
        slots: inputs at once.
    """

    def __init__(self, links: Links, inbox: Inbox, printing: Printing, terms: Terms, slots: int) -> None:
        self._links, self._inbox, self._printing, self._terms, self._free = links, inbox, printing, terms, slots
        self._loop = asyncio.new_event_loop()
        self._tasks: Dict[Key, asyncio.Task[None]] = {}
        self._reasons: Dict[Key, int] = {}  # why inputs were interrupted
        self._begun: Set[Key] = set()
        self._pid = os.getpid()
        self._loop.add_signal_handler(signal.SIGUSR1, self._on_signal)

    def run(self) -> None:
        """Serve until the supervisor has gone."""
        asyncio.set_event_loop(self._loop)
        self._loop.add_reader(self._inbox.permits, self._take)
        self._loop.run_forever()

    def _take(self) -> None:
        frame = self._inbox.permitted(wait=False)
        if not frame:
            return
        self._free -= 1
        if not self._free:
            self._loop.remove_reader(self._inbox.permits)
        self._tasks[frame.seq, frame.token] = self._loop.create_task(self._serve(frame))

    async def _serve(self, frame: Frame) -> None:
        page, since, key = self._links.page, time.monotonic(), (frame.seq, frame.token)
        page.begin(*key, since)
        self._printing.begin()
        context.running.set((frame.meta, since + self._terms.timeout_s))
        result = await self._attempt(frame)
        if os.getpid() != self._pid:
            os._exit(0)  # user code forked, and the child came back here: the session is its parent's
        self._printing.end(*key)
        self._links.sock.sendall(output(frame, result, since))
        page.begin(0, 0, 0.0)
        del self._tasks[key]
        if not self._free:
            self._loop.add_reader(self._inbox.permits, self._take)
        self._free += 1

    async def _attempt(self, frame: Frame) -> Result:
        key, error = (frame.seq, frame.token), None
        result: Optional[Result] = None
        try:
            self._begun.add(key)
            self._raise_if_asked(key)
            args, kwargs = arguments(frame)
            result = success(await self._terms.function(*args, **kwargs))
        except BaseException as raised:  # noqa: BLE001 - whatever user code raises is its result, a cancel included
            error = raised
        self._begun.discard(key)
        reason = self._reasons.pop(key, 0)
        if reason:
            return interrupted(reason, error, self._terms)
        return result if result is not None else failure(error or RuntimeError("no result"), self._terms)

    def _raise_if_asked(self, key: Key) -> None:
        """For an input that was interrupted before it began: a task that is cancelled then would never run at all."""
        seq, token, reason = self._links.page.asked()
        if key == (seq, token):
            self._reasons[key] = reason
            raise interruption(reason)

    def _on_signal(self) -> None:
        seq, token, reason = self._links.page.asked()
        if (seq, token) in self._begun and (seq, token) not in self._reasons:
            self._reasons[seq, token] = reason
            self._tasks[seq, token].cancel()
