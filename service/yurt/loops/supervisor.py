"""Owner of the endless tasks: named, watched, and the end of the process if one of them ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn

import structlog

log = structlog.get_logger(__name__)


class Supervisor:
    """Runs endless coroutines. The first that ends or fails sets `failure`, and `failed` is set."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self.failure: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def run(self, name: str, work: Coroutine[Any, Any, NoReturn] | Coroutine[Any, Any, None]) -> None:
        """Start an endless coroutine as the task `name`."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._stopping or self.failure is not None:
            return
        self.failure = f"the task {task.get_name()} ended" + (f": {error!r}" if error is not None else "")
        log.critical("endless_task_ended", task=task.get_name(), exc_info=error)
        self.failed.set()

    async def stop(self) -> None:
        """Cancel all and wait for them."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
