"""What the worker gets: frames, and the permits to begin with them. See `pipe` for the other end."""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import Deque, Optional, Protocol, Tuple

from yurt_runner.fork import Links
from yurt_runner.splitter import Splitter
from yurt_runner.wire import PAIR, Frame

READ_BYTES = 64 << 10
"""Below what makes the allocator map memory for each read, and unmap it again."""


class Permitted(Protocol):
    """Where a worker gets what it runs, and when it may.

    Attributes:
        permits: is readable when something may begin.
    """

    permits: socket.socket

    def permitted(self, *, wait: bool = True) -> Optional[Frame]:
        """See `Inbox.permitted`."""


class Inbox:
    """Frames in their order, inputs only with a permit."""

    def __init__(self, links: Links) -> None:
        self._sock, self.permits = links.sock, links.permits
        self._splitter = Splitter()
        self._frames: Deque[Frame] = deque()

    def frame(self) -> Frame:
        """The next frame; waits for it. Ends the process when the supervisor has gone."""
        while not self._frames:
            data = self._sock.recv(READ_BYTES)
            if not data:
                os._exit(0)
            self._frames.extend(self._splitter.feed(data))
        return self._frames.popleft()

    def permitted(self, *, wait: bool = True) -> Optional[Frame]:
        """The next input that may begin, or None if there is none yet and `wait` is false.

        Inputs that precede it in the stream lost their permit: they were recalled or cancelled.
        """
        try:
            permit = self.permits.recv(PAIR.size, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if not permit:
            os._exit(0)
        key: Tuple[int, int] = PAIR.unpack(permit)
        while True:
            frame = self.frame()
            if (frame.seq, frame.token) == key:
                return frame
