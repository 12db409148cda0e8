"""The supervisor's side of the socketpair with the worker, and of the permits that go beside it.

An input may begin only when its permit has been taken. A permit is a packet: the input itself if that is small, so that
it is one step for both sides, else what names it, and the input is sent as frames of the stream. A permit that is still
there can be read back by the supervisor: then the input has not begun and never will, and the worker skips its frames.
So the worker may have many inputs at hand, and yet a recall is exact.
"""

from __future__ import annotations

import socket
from collections import deque
from contextlib import suppress
from typing import Callable, Deque, Iterable, List, Tuple

from yurt_runner.fork import Worker
from yurt_runner.inbox import PERMIT, SMALL_BYTES
from yurt_runner.ledger import Held, Key
from yurt_runner.loop import READ, WRITE, Loop
from yurt_runner.splitter import Splitter
from yurt_runner.wire import ProtocolError, pack, unpack

READ_BYTES = 64 << 10
"""Below what makes the allocator map memory for each read, and unmap it again."""


class Pipe:
    """Frames to and from the worker, without blocking.

    Args:
        received: called with the frames that came, each whole.
        broken: called once when the worker has closed its end, or sends what is not a frame.
    """

    def __init__(
        self, loop: Loop, worker: Worker, received: Callable[[List[bytes]], None], broken: Callable[[], None]
    ) -> None:
        self._loop, self._worker, self._received, self._broken = loop, worker, received, broken
        self._splitter = Splitter()
        self._out = bytearray()
        self._permits: Deque[Tuple[Key, bytes]] = deque()  # those for which there was no room
        self._watched = True
        self._waits_to_write = False
        loop.watch(worker.sock.fileno(), self._ready)

    def send(self, frame: bytes) -> None:
        """Send one frame as it is."""
        self._out += frame
        self._flush()

    def hand(self, inputs: Iterable[Held]) -> None:
        """Send inputs, and batches by their first members, with a permit for each."""
        for held in inputs:
            frames = held.frames()
            if len(frames) <= SMALL_BYTES and len(held.unit) == 1:
                self._permits.append((held.key, frames))
            else:
                self._out += frames
                self._permits.append((held.key, pack(PERMIT, *held.key)))
        if self._out:
            self._flush()
        self._permit()

    def _permit(self) -> None:
        """Send what permits there is room for, and the others once there is."""
        try:
            while self._permits:
                self._worker.permits.send(self._permits[0][1])
                self._permits.popleft()
        except BlockingIOError:
            self._loop.watch(self._worker.permits.fileno(), self._permit_more, WRITE)
        except OSError:
            pass  # the worker has ended: that is told apart

    def _permit_more(self, _: int) -> None:
        self._loop.forget(self._worker.permits.fileno())
        self._permit()

    def grant(self, credit: bytes) -> None:
        """Let a generator go further."""
        with suppress(OSError):  # the worker has ended: that is told apart
            self._worker.credits.send(credit)  # always fits: there are few that it has not read

    def unused(self) -> List[Key]:
        """Take back every permit that the worker has not taken.

        The worker may take one between two that are taken here, and skip the frames before it. So an input whose permit
        was taken back is handed again as a whole, if it is to run after all.
        """
        keys: List[Key] = []
        with suppress(BlockingIOError):
            while True:
                (permit,) = unpack(self._worker.unused.recv(SMALL_BYTES, socket.MSG_DONTWAIT))
                keys.append((permit.seq, permit.token))
        keys += [key for key, _ in self._permits]
        self._permits.clear()
        return keys

    def drain(self) -> None:
        """Read what the worker had sent before it ended. A child may hold its end open: that is not waited for."""
        while self._read():
            pass

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE:
            self._read()

    def _read(self) -> bool:
        """Whether there was something."""
        try:
            data = self._worker.sock.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        try:
            frames = self._splitter.feed(data)
        except ProtocolError:
            data = b""
        if not data:
            self._forget()
            return False
        self._received(frames)
        return True

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._worker.sock.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._out.clear()  # the worker has ended: that is told apart
        if self._watched and self._waits_to_write != bool(self._out):
            self._waits_to_write = bool(self._out)
            self._loop.watch(self._worker.sock.fileno(), self._ready, READ | WRITE if self._out else READ)

    def _forget(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.forget(self._worker.sock.fileno())
            self._broken()
