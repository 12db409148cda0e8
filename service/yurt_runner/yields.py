"""Generators: each item is sent as it is yielded, as far as there is credit for it."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

from yurt_runner.attempt import SUCCESS, Result, Terms, arguments, output
from yurt_runner.fork import Links
from yurt_runner.values import SerializationError, encode
from yurt_runner.wire import ITEM, ITEM_WINDOW, ITEM_WINDOW_BYTES, OUTPUT, Frame, pack

if TYPE_CHECKING:
    import asyncio

GRANT = struct.Struct("<QQQQ")
"""What comes through `Links.credits`: seq, token, items and bytes that may be sent in all."""

LOOK_EVERY_S = 0.01
"""How soon a thread looks again whether another has read its credit, or it is to end, in seconds."""

Key = Tuple[int, int]


class Stream:
    """The items of one input.

    Attributes:
        items, size: what was sent, and its bytes with the end of each line.
        items_to, size_to: how far it may go.
        woken: what waits for more, on an event loop.
    """

    __slots__ = ("items", "items_to", "key", "size", "size_to", "woken")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.items = self.size = 0
        self.items_to, self.size_to = ITEM_WINDOW, ITEM_WINDOW_BYTES
        self.woken: Optional[asyncio.Future[None]] = None

    @property
    def open(self) -> bool:
        """Whether one more item may be sent."""
        return self.items < self.items_to and self.size < self.size_to

    def frame(self, item: bytes) -> bytes:
        """The next item, which is counted from here on."""
        self.items += 1
        self.size += len(item) + 1
        return pack(ITEM, *self.key, item)


class Yields:
    """Sends what generators yield. A worker has one.

    Args:
        links: the worker's.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._streams: Dict[Key, Stream] = {}
        self._pid = os.getpid()
        self._loop: Optional[asyncio.AbstractEventLoop] = None  # which reads credit

    def run(self, frame: Frame, generator: Any) -> Result:
        """Run a generator to its end, in the main thread or one of several; it is closed in any case."""
        stream = self._begin(frame)
        try:
            for item in generator:
                data = _encoded(item, stream)
                if not stream.open:
                    self._wait(stream)
                self._send(stream, data)
        finally:
            generator.close()
        return SUCCESS, b""

    async def run_async(self, frame: Frame, generator: Any) -> Result:
        """The same for an asynchronous one."""
        stream = self._begin(frame)
        try:
            async for item in generator:
                data = _encoded(item, stream)
                while not stream.open:
                    await self._more(stream)
                self._check_process()
                with self._links.sending:
                    self._links.sock.sendall(stream.frame(data))
        finally:
            await generator.aclose()
        return SUCCESS, b""

    def output(self, frame: Frame, result: Result, since: float) -> bytes:
        """The OUTPUT of an input: how many items it has, if it was given to `run` or `run_async`."""
        stream = self._streams.pop((frame.seq, frame.token), None)
        if stream is None:
            return output(frame, result, since)
        flags, payload = result
        meta = b'{"run_s":%.6f,"items":%d}' % (time.monotonic() - since, stream.items)
        return pack(OUTPUT, frame.seq, frame.token, payload, meta=meta, flags=flags)

    def _begin(self, frame: Frame) -> Stream:
        key = (frame.seq, frame.token)
        self._streams[key] = stream = Stream(key)
        return stream

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # user code forked, and the child went on: the items are its parent's

    def _send(self, stream: Stream, data: bytes) -> None:
        """Send an item whole: an interrupt waits until that is done.

        In the main thread it would come by a signal, between two parts of the frame. In others it waits by itself.
        """
        self._check_process()
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
            with self._links.sending:
                self._links.sock.sendall(stream.frame(data))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)

    def _wait(self, stream: Stream) -> None:
        """Return when there is credit for one more item."""
        poll = select.poll()
        poll.register(self._links.credits, select.POLLIN)
        alone = self._links.page.rows == 1
        while not stream.open:
            poll.poll(None if alone else LOOK_EVERY_S * 1000)
            self._read_all()

    def _read_all(self) -> None:
        """Note all the credit that has come."""
        with self._links.crediting:
            self._read()

    def _read(self) -> None:
        while True:
            try:
                data = self._links.credits.recv(GRANT.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not data:
                os._exit(0)  # the supervisor has gone
            seq, token, items, size = GRANT.unpack(data)
            stream = self._streams.get((seq, token))
            if stream:
                stream.items_to, stream.size_to = items, size
                if stream.woken and self._loop:  # it may be another thread that reads
                    self._loop.call_soon_threadsafe(_wake, stream.woken)

    async def _more(self, stream: Stream) -> None:
        """Wait for credit."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self._links.credits, self._read_all)
        stream.woken = loop.create_future()
        try:
            await stream.woken
        finally:
            stream.woken = None


class Generated:
    """The work of a generator function; see `attempt.Work`."""

    def __init__(self, terms: Terms, links: Links, *, is_async: bool) -> None:
        self._function: Callable[..., Any] = terms.function
        self._yields = Yields(links)
        self.is_async = is_async

    def run(self, frame: Frame) -> Result:
        """See `Work`."""
        args, kwargs = arguments(frame)
        return self._yields.run(frame, self._function(*args, **kwargs))

    async def run_async(self, frame: Frame) -> Result:
        """See `Work`."""
        args, kwargs = arguments(frame)
        return await self._yields.run_async(frame, self._function(*args, **kwargs))

    def output(self, frame: Frame, result: Result, since: float) -> bytes:
        """See `Work`."""
        return self._yields.output(frame, result, since)


_INTERRUPT = (signal.SIGUSR1,)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _encoded(item: object, stream: Stream) -> bytes:
    try:
        return encode(item)
    except SerializationError as error:
        raise SerializationError(str(error).replace("the result", f"item {stream.items}")) from None
