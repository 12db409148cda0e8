"""The worker's standard output and error: pipes that the supervisor reads, told apart by input.

They are captured at the descriptor, so that C code and children are heard too; `logs` tells how lines find their input.
"""

from __future__ import annotations

import os
import select
import sys
from io import TextIOWrapper
from typing import Tuple

from yurt_runner.fork import Links
from yurt_runner.logs import marker


class Printing:
    """Both streams, and the markers between inputs."""

    def __init__(self, links: Links) -> None:
        self._fds: Tuple[int, int] = (links.stdout, links.stderr)
        self._page, self._secret = links.page, links.secret
        self._reads = 0
        self._look = select.poll()
        for fd in (1, 2):
            self._look.register(fd, 0)  # found only where user code has closed it
        for fd in links.unread:
            self._look.register(fd, select.POLLIN)
        self._open_text(1)
        self._open_text(2)

    def begin(self, seq: int, token: int) -> None:  # noqa: ARG002 - where several run, it is told which
        """An input begins."""
        self._reads = self._page.reads()

    def end(self, seq: int, token: int) -> None:
        """An input has ended: hand over what it printed, and tell where that ends.

        A marker is needed only if something lies unread, or if there was a read since the input began: most inputs
        print nothing, and pay for one look at the pipes. It precedes that at the reads, which would miss one between.
        """
        self._flush()
        found = self._found()
        reads = self._page.reads()
        if found or reads != self._reads or reads % 2:
            self._mark(seq, token)

    def _found(self) -> bool:
        """Whether something lies unread. A descriptor that user code has closed is put right."""
        found = self._look.poll(0)
        for fd, events in found:
            if events & select.POLLNVAL:
                self._reopen(fd)
        return bool(found)

    def _mark(self, seq: int, token: int) -> None:
        for fd in self._fds:
            os.write(fd, marker(self._secret, seq, token))

    def _flush(self) -> None:
        """Flush both, and put right what user code has done to them."""
        for fd, stream in ((1, sys.stdout), (2, sys.stderr)):
            if not self._flushed(stream):
                self._reopen(fd)

    @staticmethod
    def _flushed(stream: object) -> bool:
        try:
            stream.flush()  # type: ignore[attr-defined]  # user code may have put anything there
        except (OSError, ValueError, AttributeError):
            return False
        return True

    def _reopen(self, fd: int) -> None:
        if fd in {1, 2}:
            os.dup2(self._fds[fd - 1], fd)
            self._open_text(fd)

    def _open_text(self, fd: int) -> None:
        """By line, so that lines are seen at once; what UTF-8 cannot hold is escaped rather than raised."""
        stream = open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        self._set_text(fd, stream)

    @staticmethod
    def _set_text(fd: int, stream: TextIOWrapper) -> None:
        if fd == 1:
            sys.stdout = sys.__stdout__ = stream  # type: ignore[misc]
        else:
            sys.stderr = sys.__stderr__ = stream  # type: ignore[misc]
