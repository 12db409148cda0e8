"""Serving the door: what is not even HTTP is answered as every other error is."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from aiohttp import StreamReader, web

from yurt.domain.errors import Malformed
from yurt.inbound.rest.answers import sign
from yurt.inbound.rest.problems import Internal, problem

_LINE_BYTES = 64 << 10
"""The longest request line and header: a page of cursors and metadata filters fits many times over."""


Leaves: TypeAlias = Callable[[asyncio.Transport, bytes], bool]
"""Takes a connection over whose next request begins with these bytes, if it is for another door."""

_HELD_BYTES = 64 << 10
"""What is kept of a request that waits behind another one, before no more is read."""
_LOOK_S, _LONGEST_LOOK_S = 0.001, 0.1
"""How soon to look again whether a request is over that another one waits behind, in seconds; longer each time."""

_HOST = re.compile(rb"\r\n[Hh]ost:[^\r\n]*\r\n")


class _Protocol(web.RequestHandler):
    """One connection. aiohttp itself would answer in plain text, quote the bytes, and log a traceback for each.

    Attributes:
        leaves: on a port that is shared with another door.
    """

    __slots__ = ("_between", "_body", "_held", "_host", "leaves")

    leaves: Leaves | None
    _host: bytes
    _held: bytes
    _body: StreamReader | None
    _between: bool

    def data_received(self, data: bytes) -> None:
        """Some of a request has come; on a shared port it may be for the other door."""
        if self.leaves is None or not data:  # aiohttp looks once more at what it holds, by giving itself nothing
            super().data_received(data)
            return
        waiter = self._waiter
        waits = waiter is not None and not waiter.done()
        if self._held or (not waits and self._is_behind() and not self._is_next_of_mine(data)):
            self._hold(data)
            return
        if waits and self._between and not self._surely_mine(data) and self._leave(data):
            return
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]
        self._between = not waits or (waiter is not None and waiter.done())

    def _is_behind(self) -> bool:
        """Whether what comes now is behind a whole request, which is not over yet as aiohttp has it.

        A client that has its answer may ask again before aiohttp, whose tasks take a turn of the loop for it, waits.
        """
        taken = self._upgraded or self._payload_parser is not None
        return self._body is not None and self._body.is_eof() and not taken

    def _hold(self, data: bytes) -> None:
        """Keep it until the request before is over: only then is it looked at whose it is."""
        if not self._held:
            self._loop.call_soon(self._go_on, _LOOK_S)
        self._held += data
        if len(self._held) > _HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def _go_on(self, after_s: float) -> None:
        waiter = self._waiter
        if self.transport is None:
            self._held = b""
        elif waiter is None or waiter.done():
            self._loop.call_later(after_s, self._go_on, min(2 * after_s, _LONGEST_LOOK_S))
        else:
            data, self._held = self._held, b""
            self.transport.resume_reading()
            self.data_received(data)

    def _is_next_of_mine(self, data: bytes) -> bool:
        """Whether this has the whole head of a request that nobody need look at: aiohttp queues it."""
        end = data.find(b"\r\n\r\n", 0, _LINE_BYTES)
        return end > 0 and self._has_host(data, end)

    def _has_host(self, data: bytes, end: int) -> bool:
        """Whether the host is that of the request before, which was for this door, and the path says nothing else.

        Two searches in short bytes, for those who call again and again.
        """
        host = self._host
        return bool(host) and data.find(host, 0, end + 2) > 0 and data.find(b" /web/", 0, 16) < 0

    def _surely_mine(self, data: bytes) -> bool:
        """Whether nobody need look at it; if not, the host is remembered for the next request."""
        end = data.find(b"\r\n\r\n", 0, _LINE_BYTES)
        if self._has_host(data, end if end > 0 else _LINE_BYTES):
            return True
        found = _HOST.search(data)
        self._host = found[0] if found is not None else b""
        return False

    def _leave(self, data: bytes) -> bool:
        transport = self.transport
        if transport is None or self.leaves is None or not self.leaves(transport, data):
            return False
        self.transport = None  # it is another's, and must not be closed
        self.connection_lost(None)
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del message  # quotes what came
        if request.writer.output_size:
            raise ConnectionResetError("an answer has begun") from exc
        error = Malformed("This is not HTTP as the server reads it: check the request line, the headers and lengths.")
        request_id = secrets.token_hex(8)
        answer = problem(error if status < 500 else Internal("The server failed."), instance="/", request_id=request_id)
        sign(answer, request_id)
        answer.force_close()
        return answer

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the task that only swallows the rest of a body: aiohttp would let it wait ten seconds for more."""
        task, in_progress = self._task_handler, self._request_in_progress
        super().connection_lost(exc)
        if task is not None and not in_progress:
            task.cancel()


class _Server(web.Server):
    """Makes connections.

    Attributes:
        share: where the port is shared, makes of a way to make connections of this door one that tells whose they are.
    """

    share: "Share | None" = None

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override]  # what is made takes the place of a handler
        return self.handler() if self.share is None else self.share.connection(self.handler)

    def handler(self) -> asyncio.Protocol:
        """A connection of this door."""
        made = _Protocol(self, loop=self._loop, **self._kwargs)
        made.leaves, made._host, made._between = None if self.share is None else self.share.leaves, b"", True
        made._held, made._body = b"", None
        return made


class Share(Protocol):
    """The other door of a shared port."""

    def connection(self, rest: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """A connection of which nothing is known yet; `rest` makes one of the REST door."""

    def leaves(self, transport: asyncio.Transport, data: bytes) -> bool:
        """See `Leaves`."""


class DoorRunner(web.ServerRunner):
    """Serves a door, such as `yurt.inbound.rest.door.Door`; otherwise as aiohttp's runners.

    Args:
        door: answers every request.
        shutdown_timeout: what connections get to end, in seconds.
        share: the other door, where the port is shared.
    """

    def __init__(
        self,
        door: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        shutdown_timeout: float = 60.0,
        share: Share | None = None,
    ) -> None:
        server = _Server(door, access_log=None, max_line_size=_LINE_BYTES, max_field_size=_LINE_BYTES)
        server.share = share
        super().__init__(server, shutdown_timeout=shutdown_timeout)
