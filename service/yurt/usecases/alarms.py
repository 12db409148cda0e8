"""Limits of waiting: many futures, one timer."""

import asyncio

PERIOD_S = 0.25
"""How late an alarm may ring, in seconds: the limits of callers are whole seconds."""


class Alarms:
    """Ends futures that have been waited for long enough.

    Every call waits for its end with a limit that is nearly never reached. A timer of the loop for each cost a fiftieth
    of a warm call.
    """

    __slots__ = ("_due", "_timer")

    def __init__(self) -> None:
        self._due: dict[asyncio.Future[None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, future: "asyncio.Future[None]", seconds: float) -> None:
        """End `future` after so many seconds, unless it is dropped before."""
        loop = future.get_loop()
        self._due[future] = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_later(PERIOD_S, self._ring, loop)

    def drop(self, future: "asyncio.Future[None]") -> None:
        """Forget a future; nothing happens where it was ended from here."""
        self._due.pop(future, None)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for future in [future for future, due in self._due.items() if due <= now]:
            del self._due[future]
            if not future.done():
                future.set_result(None)
        self._timer = loop.call_later(PERIOD_S, self._ring, loop) if self._due else None
