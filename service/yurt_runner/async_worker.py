"""Coroutine functions: on an asyncio loop, interrupted by cancelling their task."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from yurt_runner import context
from yurt_runner.attempt import Result, Terms, Work, failure, interrupted, interruption
from yurt_runner.context import InputInterrupted
from yurt_runner.fork import Links
from yurt_runner.inbox import Permitted
from yurt_runner.page import Asks
from yurt_runner.printing import Printing
from yurt_runner.wire import Frame

Key = Tuple[int, int]


class AsyncWorker:
    """The loop's owner: takes permits while rows of the page are free, and runs each input as a task."""

    def __init__(self, links: Links, inbox: Permitted, printing: Printing, terms: Terms, work: Work) -> None:
        self._links, self._inbox, self._printing, self._terms = links, inbox, printing, terms
        self._work = work
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._rows = list(reversed(range(links.page.rows)))  # the free ones
        self._outputs: List[bytes] = []  # of this turn of the loop
        self._ended: List[int] = []  # their rows
        self._tasks: Dict[Key, asyncio.Task[None]] = {}
        self._begun: Set[Key] = set()  # those in whose code an interrupt may be raised
        self._reasons: Dict[Key, int] = {}  # why inputs were interrupted
        self._asks = Asks(links.page)
        self._pid = os.getpid()
        self._loop.add_signal_handler(signal.SIGUSR1, self._on_signal)

    def run(self) -> None:
        """Serve until the supervisor has gone."""
        self._loop.add_reader(self._inbox.permits, self._take)
        self._loop.run_forever()

    def call(self, hook: Callable[[], Any]) -> Any:
        """Call a hook of a class, where no input runs: on the loop, if it is a coroutine function."""
        made = hook()
        return self._loop.run_until_complete(made) if asyncio.iscoroutine(made) else made

    def stop_at(self, number: int, leave: Callable[[], None]) -> None:
        """Have `run` return at that signal, if `leave` returns."""

        def stop() -> None:
            leave()
            self._loop.stop()

        self._loop.add_signal_handler(number, stop)

    def _take(self) -> None:
        while self._rows:
            frame = self._inbox.permitted(wait=False)
            if not frame:
                return
            self._tasks[frame.seq, frame.token] = self._loop.create_task(self._serve(frame, self._rows.pop()))
        self._loop.remove_reader(self._inbox.permits)

    async def _serve(self, frame: Frame, row: int) -> None:
        since, key = time.monotonic(), (frame.seq, frame.token)
        self._links.page.begin(*key, since, row)
        self._printing.begin(*key)
        context.running.set((frame.meta, since + self._terms.timeout_s, *key))
        result = await self._attempt(frame, key)
        if os.getpid() != self._pid:
            os._exit(0)  # user code forked, and the child came back here: the session is its parent's
        self._printing.end(*key)
        del self._tasks[key]
        self._outputs.append(self._work.output(frame, result, since))
        self._ended.append(row)
        if self._links.page.rows == 1:
            self._send()
        elif len(self._ended) == 1:
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        """Send the outputs of one turn of the loop together; only then others take their place."""
        outputs, self._outputs = self._outputs, []
        with self._links.sending:  # generators in threads send too
            self._links.sock.sendall(b"".join(outputs))
        if not self._rows:
            self._loop.add_reader(self._inbox.permits, self._take)
        for row in self._ended:
            self._links.page.begin(0, 0, 0.0, row)
        self._rows += self._ended
        self._ended.clear()

    async def _attempt(self, frame: Frame, key: Key) -> Result:
        error: Optional[BaseException] = None
        result: Optional[Result] = None
        try:
            self._begun.add(key)
            self._raise_if_asked(key)
            result = await self._work.run_async(frame)
        except BaseException as raised:  # noqa: BLE001 - whatever user code raises is its result, a cancel included
            error = raised
        self._begun.discard(key)
        reason = self._reasons.pop(key, 0)
        if not reason and isinstance(error, InputInterrupted):  # it was raised while the loop stood still
            reason = self._asks.take(key)
        if reason:
            return interrupted(reason, error, self._terms)
        return result if result is not None else failure(error or RuntimeError("no result"), self._terms)

    def _raise_if_asked(self, key: Key) -> None:
        """For an input that was interrupted before it began: a task that is cancelled then would never run at all."""
        reason = self._asks.take(key)
        if reason:
            self._reasons[key] = reason
            raise interruption(reason)

    def _on_signal(self) -> None:
        for key in self._asks.waiting():
            if key in self._begun:
                self._reasons[key] = self._asks.take(key)
                self._tasks[key].cancel()
