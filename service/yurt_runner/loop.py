"""A small event loop: descriptors and named timers. asyncio would cost 60 ms of import and 9 MB."""

from __future__ import annotations

import select
import time
from typing import Callable, Dict, Tuple

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Loop:
    """Calls back when a descriptor is ready or a time has come. A callback that raises ends the program."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._epoll = select.epoll()
        self._watched: Dict[int, Callable[[int], None]] = {}
        self._timers: Dict[str, Tuple[float, Callable[[], None]]] = {}

    def watch(self, fd: int, callback: Callable[[int], None], events: int = READ) -> None:
        """Call `callback(events)` whenever `fd` is ready for `events`; those of an earlier call are replaced."""
        if fd in self._watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._watched[fd] = callback

    def forget(self, fd: int) -> None:
        """Watch `fd` no more. Must be called before it is closed."""
        if self._watched.pop(fd, None):
            self._epoll.unregister(fd)

    def at(self, name: str, when: float, callback: Callable[[], None]) -> None:
        """Call `callback` once at `when` (monotonic); replaces the timer of that name."""
        self._timers[name] = (when, callback)

    def after(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """`at`, from now on."""
        self.at(name, self.now() + seconds, callback)

    def drop(self, name: str) -> None:
        """Forget the timer of that name, if there is one."""
        self._timers.pop(name, None)

    def has(self, name: str) -> bool:
        """Whether a timer of that name is set."""
        return name in self._timers

    def turn(self) -> None:
        """Wait for the next event or timer, and call back for everything that is due."""
        next_due = min((when for when, _ in self._timers.values()), default=None)
        timeout = None if next_due is None else max(0.0, next_due - self.now())
        for fd, events in self._epoll.poll(timeout):
            callback = self._watched.get(fd)
            if callback:  # an earlier callback of this turn may have forgotten it
                callback(events)
        now = self.now()
        for name, (when, due) in list(self._timers.items()):
            if when <= now and self._timers.get(name) == (when, due):
                del self._timers[name]
                due()
