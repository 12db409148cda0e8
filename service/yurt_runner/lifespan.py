"""The lifespan of an ASGI app: told of its start before the first request, and of its end after the last."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any, Awaitable, Callable, Dict, Optional

from yurt_runner.errors import note


class LifespanFailed(Exception):
    """The app said that its startup failed; the message is its own."""


class Lifespan:
    """One app's. An app that knows nothing of lifespans is left alone.

    Attributes:
        state: what the app keeps for its requests.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self.state: Dict[str, Any] = {}
        self._events: asyncio.Queue[Dict[str, Any]] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failure: Optional[str] = None
        self._knows = False
        self._task: Optional[asyncio.Task[None]] = None

    async def startup(self) -> None:
        """Raises `LifespanFailed` where the app says that it cannot start."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._events.put_nowait({"type": "lifespan.startup"})
        await self._started.wait()
        if self._failure is not None:
            raise LifespanFailed(self._failure)

    async def shutdown(self) -> None:
        """Tell the app, and wait until it has done what it has to do."""
        if self._task is None or not self._knows or self._task.done():
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped.wait()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._events.get, self._send)
        except Exception:  # noqa: BLE001 - whatever the app raises here is told, or means that it has no lifespan
            if self._knows:  # else it does not take this kind of scope
                traceback.print_exc()
        finally:
            self._started.set()
            self._stopped.set()

    async def _send(self, message: Dict[str, Any]) -> None:
        kind = message["type"]
        self._knows = True
        if kind == "lifespan.startup.failed":
            self._failure = str(message.get("message") or "the app's startup failed")
        if kind in {"lifespan.startup.complete", "lifespan.startup.failed"}:
            self._started.set()
        elif kind in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
            if message.get("message"):
                note(str(message["message"]))
            self._stopped.set()
