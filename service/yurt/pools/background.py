"""Owner of the heart's short tasks: named, watched, waited for at the end."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Background:
    """Runs coroutines that nobody awaits. Their failure is logged with their name; none is lost to the collector."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits: set[asyncio.Task[None]] = set()

    def wait(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """As `run`, for what only waits for its time: it is given up at the end."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        self._waits.add(task)
        task.add_done_callback(self._ended)

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start `work` as a task called `name`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._waits.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background_task_failed", task=task.get_name(), exc_info=error)

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Wait for what runs, then cancel the rest and wait for that."""
        for task in list(self._waits):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
