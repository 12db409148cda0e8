"""What the worker gets: permits to begin, and the frames that are too large to travel with them. `pipe` sends both."""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import Deque, Optional, Protocol

from yurt_runner.fork import Links
from yurt_runner.splitter import Splitter
from yurt_runner.wire import Frame, unpack

READ_BYTES = 64 << 10
"""Below what makes the allocator map memory for each read, and unmap it again."""
SMALL_BYTES = 1500
"""The largest frame that is its own permit. The kernel counts 2304 bytes for such a packet, and has room for 90."""
PERMIT = 0
"""The kind of a frame that stands for the input with its seq and token, which comes through the stream."""


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
        self._frames: Deque[bytes] = deque()

    def frame(self) -> Frame:
        """The next frame; waits for it. Ends the process when the supervisor has gone."""
        while not self._frames:
            data = self._sock.recv(READ_BYTES)
            if not data:
                os._exit(0)
            self._frames.extend(self._splitter.feed(data))
        (frame,) = unpack(self._frames.popleft())
        return frame

    def permitted(self, *, wait: bool = True) -> Optional[Frame]:
        """The next input that may begin, or None if there is none yet and `wait` is false.

        Inputs that precede it in the stream lost their permit: they were recalled or cancelled.
        """
        try:
            packet = self.permits.recv(SMALL_BYTES, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if not packet:
            os._exit(0)
        (permit,) = unpack(packet)
        if permit.kind != PERMIT:
            return permit
        while True:
            frame = self.frame()
            if (frame.seq, frame.token) == (permit.seq, permit.token):
                return frame
