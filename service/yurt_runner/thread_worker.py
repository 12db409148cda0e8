"""Plain functions, several inputs at once: each in a thread of its own, interrupted by an exception raised in it."""

from __future__ import annotations

import contextvars
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from typing import List, Optional, Tuple

from yurt_runner import context
from yurt_runner.attempt import Result, Terms, Work, failure, interrupted, interruption
from yurt_runner.context import InputInterrupted
from yurt_runner.fork import Links
from yurt_runner.inbox import Permitted
from yurt_runner.memory import add_memory, stack_bytes
from yurt_runner.page import Asks
from yurt_runner.printing import Printing
from yurt_runner.wire import Frame

Key = Tuple[int, int]


class Lane:
    """A thread, and the row of the page that is its own.

    An interrupt is raised in it only while it is armed, and once at most. Whoever raises it holds the lock.

    Attributes:
        asked: why its input was interrupted by `raise_in`, 0 for not.
    """

    def __init__(self, row: int) -> None:
        self.row = row
        self.idle = True
        self.thread = 0
        self._lock = threading.Lock()
        self._armed: Optional[Key] = None
        self._reason = 0
        self.asked = 0

    def arm(self, key: Key) -> None:
        """From here on an interrupt may be raised in the thread; called in it."""
        self._armed, self._reason = key, 0

    def interrupt(self, key: Key, asks: Asks) -> None:
        """Raise in the thread what the supervisor asks for, if it runs that input."""
        with self._lock:
            if self._armed != key:
                return
            self._armed, self._reason = None, asks.take(key)
            _raise_in(self.thread, interruption(self._reason))

    def raise_in(self, key: Key, reason: int) -> None:
        """Raise in the thread, if it runs that input; one that is about to begin finds that it was `asked` to end."""
        with self._lock:
            self.asked = reason
            if self._armed == key:
                self._armed, self._reason = None, reason
                _raise_in(self.thread, interruption(reason))

    def raise_if_asked(self) -> None:
        """Raise what came before the input had begun; called in the thread.

        Raises:
            InputInterrupted: something did.
        """
        if self.asked:
            raise interruption(self.asked)

    def settle(self) -> int:
        """Nothing is raised in the thread any more; called in it. Returns why it was interrupted, 0 for not.

        What is about to be raised is taken back, or comes up here.
        """
        try:
            self._disarm()
        except InputInterrupted:
            self._disarm()  # it is raised once at most
        return self._reason

    def _disarm(self) -> None:
        with self._lock:
            self._armed = None
        if self._reason:
            _raise_in(self.thread, None)


class ThreadWorker:
    """Threads that take their turns in waiting for a permit. The main thread sees to interrupts."""

    def __init__(self, links: Links, inbox: Permitted, printing: Printing, terms: Terms, work: Work) -> None:
        self._links, self._inbox, self._printing, self._terms = links, inbox, printing, terms
        self._work = work
        self._pid = os.getpid()
        self._lanes: List[Lane] = []
        self._most = links.page.rows
        self._asks = Asks(links.page)
        self._turn, self._asking = threading.Lock(), threading.Lock()

    def run(self) -> None:
        """Serve until the supervisor has gone."""
        ours, wakes = socket.socketpair()
        wakes.settimeout(0)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        self._start_lane()
        while ours.recv(64):
            self._interrupt()

    def _interrupt(self) -> None:
        with self._asking:
            for key in self._asks.waiting():
                for lane in self._lanes:
                    lane.interrupt(key, self._asks)

    def _start_lane(self) -> None:
        """One more thread, if that is possible."""
        lane = Lane(len(self._lanes))
        self._lanes.append(lane)
        add_memory(stack_bytes())
        try:
            threading.Thread(target=self._serve_all, args=(lane,), name=f"yurt-{lane.row}", daemon=True).start()
        except RuntimeError as error:
            self._lanes.pop()
            self._most = len(self._lanes)
            sys.stderr.write(f"yurt: {error}: this container runs {self._most} inputs at once. Raise `memory`?\n")
            if not self._most:
                raise

    def _serve_all(self, lane: Lane) -> None:
        lane.thread = threading.get_ident()
        while True:
            lane.idle = True
            with self._turn:
                frame = self._inbox.permitted()
                lane.idle = False
                if len(self._lanes) < self._most and not any(other.idle for other in self._lanes):
                    self._start_lane()
            if frame:
                contextvars.copy_context().run(self._serve, lane, frame)

    def _serve(self, lane: Lane, frame: Frame) -> None:
        page, since = self._links.page, time.monotonic()
        page.begin(frame.seq, frame.token, since, lane.row)
        self._printing.begin(frame.seq, frame.token)
        context.running.set((frame.meta, since + self._terms.timeout_s, frame.seq, frame.token))
        result = self._attempt(lane, frame)
        if os.getpid() != self._pid:
            os._exit(0)  # user code forked, and the child came back here: the session is its parent's
        self._printing.end(frame.seq, frame.token)
        data = self._work.output(frame, result, since)
        with self._links.sending:
            self._links.sock.sendall(data)
        page.begin(0, 0, 0.0, lane.row)

    def _attempt(self, lane: Lane, frame: Frame) -> Result:
        """Run user code; whatever comes out of it is a result."""
        key = (frame.seq, frame.token)
        error: Optional[BaseException] = None
        result: Optional[Result] = None
        try:
            try:
                lane.arm(key)
                reason = self._asked_before(key)
                if reason:
                    lane.settle()
                    return interrupted(reason, None, self._terms)
                result = self._work.run(frame)
            except BaseException as raised:  # noqa: BLE001 - whatever user code raises is its result
                error = raised
            reason = lane.settle()
        except InputInterrupted as raised:  # between two statements of the above
            error, reason = error or raised, lane.settle()
        if reason:
            return interrupted(reason, error, self._terms)
        return result if result is not None else failure(error or RuntimeError("no result"), self._terms)

    def _asked_before(self, key: Key) -> int:
        """Why an input is to end that was interrupted before it began, 0 for not."""
        with self._asking:
            return self._asks.take(key)


def _raise_in(thread: int, kind: Optional[type]) -> None:
    """Have that thread raise `kind` as soon as it runs Python code; with None, no more."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None if kind is None else ctypes.py_object(kind))
