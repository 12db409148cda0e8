"""Plain methods of a class that has coroutine methods too, where several inputs run at once: each in a thread."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from typing import Callable, List, Optional, Tuple

from yurt_runner.attempt import Result, interruption
from yurt_runner.context import InputInterrupted
from yurt_runner.memory import add_memory, stack_bytes
from yurt_runner.page import CANCEL
from yurt_runner.thread_worker import Lane
from yurt_runner.wire import Frame

Run = Callable[[Frame], Result]
Ended = Tuple[Optional[Result], Optional[BaseException]]


class Threads:
    """As many threads as inputs run at once; an interrupt of an input is raised in its own."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="yurt")
        self._begun = 0

    async def run(self, run: Run, frame: Frame) -> Result:
        """Run an input; when its task is cancelled this goes on until its thread has ended it.

        Raises:
            BaseException: whatever the input raises.
        """
        if self._begun < self._count:
            self._begun += 1
            add_memory(stack_bytes())
        lane, inside = Lane(0), contextvars.copy_context()
        ended = asyncio.get_running_loop().run_in_executor(self._pool, inside.run, _run, lane, run, frame)
        while not ended.done():
            await _patiently(ended, lane, (frame.seq, frame.token))
        result, error = ended.result()
        if error is not None:
            raise error
        if result is None:
            raise RuntimeError("the method ended without a result")
        return result


async def _patiently(ended: asyncio.Future[Ended], lane: Lane, key: Tuple[int, int]) -> None:
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        lane.raise_in(key, CANCEL)


def _run(lane: Lane, run: Run, frame: Frame) -> Ended:
    """In the thread: the result, or what the input raised. Nothing is raised in the thread any more behind it."""
    ended: List[Ended] = []
    lane.thread, reason = get_ident(), 0
    try:
        try:
            lane.arm((frame.seq, frame.token))
            lane.raise_if_asked()
            ended.append((run(frame), None))
        except BaseException as raised:  # noqa: BLE001 - whatever user code raises is its result
            ended.append((None, raised))
        reason = lane.settle()
    except InputInterrupted as raised:  # between two statements of the above
        ended.append((None, raised))
        reason = lane.settle()
    result, error = ended[0]
    return result, error if error is not None or not reason else interruption(reason)()
