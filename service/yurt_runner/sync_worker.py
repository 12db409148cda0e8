"""Plain functions: one input at a time, in the main thread, interrupted by an exception from a signal handler."""

from __future__ import annotations

import os
import signal
import time
from typing import Optional, Tuple

from yurt_runner import context
from yurt_runner.attempt import Result, Terms, Work, failure, interrupted, interruption
from yurt_runner.fork import Links
from yurt_runner.inbox import Permitted
from yurt_runner.printing import Printing
from yurt_runner.wire import Frame


class SyncWorker:
    """The main loop. It blocks in a read of the permits while there is nothing to do."""

    def __init__(self, links: Links, inbox: Permitted, printing: Printing, terms: Terms, work: Work) -> None:
        self._links, self._inbox, self._printing, self._terms = links, inbox, printing, terms
        self._work = work
        self._armed: Optional[Tuple[int, int]] = None  # the input in whose code an interrupt may be raised
        self._reason = 0  # why the input was interrupted, 0 for not
        signal.signal(signal.SIGUSR1, self._on_signal)

    def run(self) -> None:
        """Serve until the supervisor has gone."""
        pid = os.getpid()
        while True:
            frame = self._inbox.permitted()
            if frame:
                self._serve(frame, pid)

    def _serve(self, frame: Frame, pid: int) -> None:
        page, since = self._links.page, time.monotonic()
        page.begin(frame.seq, frame.token, since)
        self._printing.begin(frame.seq, frame.token)
        token = context.running.set((frame.meta, since + self._terms.timeout_s, frame.seq, frame.token))
        result = self._attempt(frame)
        context.running.reset(token)
        if os.getpid() != pid:
            os._exit(0)  # user code forked, and the child came back here: the session is its parent's
        self._printing.end(frame.seq, frame.token)
        self._links.sock.sendall(self._work.output(frame, result, since))
        page.begin(0, 0, 0.0)

    def _attempt(self, frame: Frame) -> Result:
        """Run user code; whatever comes out of it is a result.

        The handler raises only while `_armed` is set, and that is only within the inner `try`: so nothing is ever
        raised elsewhere, and an interrupt that hits between two statements of it is caught by the outer one.
        """
        terms, error = self._terms, None
        result: Optional[Result] = None
        self._reason = 0
        try:
            try:
                self._armed = (frame.seq, frame.token)
                self._raise_if_asked()
                result = self._work.run(frame)
            except BaseException as raised:  # noqa: BLE001 - whatever user code raises is its result
                error = raised
                if not self._reason:
                    result = failure(raised, terms)
            finally:
                self._armed = None
        except BaseException as raised:  # noqa: BLE001 - an interrupt while the above was being described
            error = raised
        if self._reason:
            return interrupted(self._reason, error, terms)
        if result is None:
            return failure(error or RuntimeError("the attempt ended without a result"), terms)
        return result

    def _on_signal(self, *_: object) -> None:
        self._raise_if_asked()

    def _raise_if_asked(self) -> None:
        seq, token, reason = self._links.page.asked()
        if self._armed == (seq, token):
            self._armed, self._reason = None, reason
            raise interruption(reason)
