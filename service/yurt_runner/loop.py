"""A small event loop: descriptors and named timers. asyncio would cost 60 ms of import and 9 MB."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import Callable, Dict, Iterable, Optional, Tuple

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
NEVER = float("inf")


class Loop:
    """Calls back when a descriptor is ready or a time has come. A callback that raises ends the program."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._epoll = select.epoll()
        self._watched: Dict[int, Callable[[int], None]] = {}
        self._timers: Dict[str, Tuple[float, Callable[[], None]]] = {}
        self._due_from = NEVER  # no timer is due before; sooner than the next one where that was put off
        self._signal_ends: Optional[Tuple[socket.socket, socket.socket]] = None  # kept open

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
        self._due_from = min(self._due_from, when)

    def after(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """`at`, from now on."""
        self.at(name, self.now() + seconds, callback)

    def by(self, name: str, when: float, callback: Callable[[], None]) -> None:
        """`at`, unless the timer of that name is set for sooner."""
        before = self._timers.get(name)
        if before is None or before[0] > when:
            self.at(name, when, callback)

    def drop(self, name: str) -> None:
        """Forget the timer of that name, if there is one."""
        self._timers.pop(name, None)

    def has(self, name: str) -> bool:
        """Whether a timer of that name is set."""
        return name in self._timers

    def when_ended(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call `callback(status)` once that child has ended; it is waited for here."""
        pidfd = os.pidfd_open(pid)

        def ended(_: int) -> None:
            self.forget(pidfd)
            os.close(pidfd)
            try:
                status = os.waitpid(pid, 0)[1]
            except ChildProcessError:
                return  # already waited for, by whoever ends everything
            callback(status)

        self.watch(pidfd, ended)

    def on_signals(self, numbers: Iterable[int], callback: Callable[[], None]) -> None:
        """Call `callback` when one of these signals comes; also as process 1, which gets only those with a handler."""
        ours, wakes = self._signal_ends = socket.socketpair()
        for end in self._signal_ends:
            end.settimeout(0)
        signal.set_wakeup_fd(wakes.fileno())
        for number in numbers:
            signal.signal(number, lambda *_: None)

        def woken(_: int) -> None:
            ours.recv(64)
            callback()

        self.watch(ours.fileno(), woken)

    def turn(self) -> None:
        """Wait for the next event or timer, and call back for everything that is due."""
        timeout = None if self._due_from == NEVER else max(0.0, self._due_from - self.now())
        for fd, events in self._epoll.poll(timeout):
            callback = self._watched.get(fd)
            if callback:  # an earlier callback of this turn may have forgotten it
                callback(events)
        now = self.now()
        if now >= self._due_from:
            self._call_timers(now)

    def _call_timers(self, now: float) -> None:
        for name, (when, due) in list(self._timers.items()):
            if when <= now and self._timers.get(name) == (when, due):
                del self._timers[name]
                due()
        self._due_from = min((when for when, _ in self._timers.values()), default=NEVER)
