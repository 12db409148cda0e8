"""The worker's standard output and error: pipes that the supervisor reads, told apart by input.

They are captured at the descriptor, so that C code and children are heard too; `logs` tells how lines find their input.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios
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
        self._open_text(1)
        self._open_text(2)

    def begin(self) -> None:
        """An input begins."""
        self._reads = self._page.reads()

    def end(self, seq: int, token: int) -> None:
        """An input has ended: hand over what it printed, and tell where that ends.

        A marker is needed only if something lies unread, or if there was a read since the input began: most inputs
        print nothing, and pay for two looks at the pipes.
        """
        self._flush()
        reads = self._page.reads()
        if reads != self._reads or reads % 2 or any(self._lies_unread(fd) for fd in self._fds):
            for fd in self._fds:
                os.write(fd, marker(self._secret, seq, token))

    @staticmethod
    def _lies_unread(fd: int) -> bool:
        return any(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))

    def _flush(self) -> None:
        """Flush both, and put right what user code has closed."""
        for fd, stream in ((1, sys.stdout), (2, sys.stderr)):
            if not self._flushed(fd, stream):
                os.dup2(self._fds[fd - 1], fd)
                self._open_text(fd)

    @staticmethod
    def _flushed(fd: int, stream: object) -> bool:
        try:
            os.get_inheritable(fd)  # the cheapest way to ask whether it is open
            stream.flush()  # type: ignore[attr-defined]  # user code may have put anything there
        except (OSError, ValueError, AttributeError):
            return False
        return True

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
