"""An HTTP/1.1 server for one ASGI app, on asyncio alone.

It stands behind the gateway, which has read and normalised every head; what comes otherwise is refused rather than
guessed at. One request of a connection is served at a time.
"""

from __future__ import annotations

import asyncio
import traceback
from http import HTTPStatus
from typing import Any, Awaitable, Callable, Coroutine, Dict, List, Optional, Set, Tuple
from urllib.parse import unquote

from yurt_runner.errors import note
from yurt_runner.web_body import BadBody, Body, body_of
from yurt_runner.web_reply import Reply

App = Callable[
    [Dict[str, Any], Callable[[], Awaitable[Dict[str, Any]]], Callable[[Dict[str, Any]], Awaitable[None]]],
    Awaitable[None],
]
Headers = List[Tuple[bytes, bytes]]

MAX_HEAD_BYTES = 128 << 10
MAX_UNREAD_BYTES = 64 << 10
"""Of a body that the app does not read yet; the connection is read no further then."""


class Server:
    """The connections of one app.

    Args:
        state: what the app keeps for its requests.
    """

    def __init__(self, app: App, state: Dict[str, Any]) -> None:
        self.app = app
        self.state = state
        self.connections: Set[Connection] = set()
        self.closing = False
        self._tasks: Set[asyncio.Task[None]] = set()  # the loop itself keeps no hold of them
        self._empty = asyncio.Event()

    def connection(self) -> Connection:
        """A protocol for a connection that came in."""
        return Connection(self)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Serve a request as a task of its own."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def close(self, within_s: float) -> None:
        """Let what runs end within so many seconds; then cut it off."""
        self.closing = True
        self._empty.clear()
        for connection in list(self.connections):
            connection.finish()
        if self.connections:
            try:
                await asyncio.wait_for(self._empty.wait(), within_s)
            except asyncio.TimeoutError:
                for connection in list(self.connections):
                    connection.abort()


class Connection(asyncio.Protocol):
    """One connection: heads and bodies in, one reply after the other out."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._exchange: Optional[Exchange] = None
        self._socket: Optional[Any] = None  # the WebSocket that it has become
        self._paused = False
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = transport  # type: ignore[assignment]
        self._server.connections.add(self)

    def connection_lost(self, _: Optional[Exception]) -> None:
        """It is gone."""
        self.writable.set()
        if self._exchange is not None:
            self._exchange.disconnected()
        if self._socket is not None:
            self._socket.disconnected()
        self._server.left(self)

    def pause_writing(self) -> None:
        """The client does not read as fast as the app writes."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._socket is not None:
            self._socket.feed(data)
            return
        self._buffer += data
        self.advance()

    def advance(self) -> None:
        """Go on with what has come."""
        exchange = self._exchange or self._begin()
        if exchange is not None and not exchange.body.complete:
            try:
                self._buffer = exchange.take(self._buffer)
            except BadBody:
                self.abort()
                return
            if exchange.finished:
                self.ended(keep=exchange.keeps)
                return
        self._flow()

    def _begin(self) -> Optional[Exchange]:
        """The next request, once its head is whole; a WebSocket is none."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._refuse(431)
            return None
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        try:
            scope, headers = read_head(head)
            body = body_of(headers)
        except (ValueError, BadBody):
            self._refuse(400)
            return None
        known = dict(headers)
        self._complete_scope(scope, known)
        if scope["type"] == "websocket":
            self._become_socket(scope, known)
            return None
        self._exchange = exchange = Exchange(self, self._server, scope, known, body)
        self._server.run(exchange.run())
        return exchange

    def _complete_scope(self, scope: Dict[str, Any], headers: Dict[bytes, bytes]) -> None:
        """What the gateway says of the client, and what the app keeps."""
        peer, here = self.transport.get_extra_info("peername"), self.transport.get_extra_info("sockname")
        scope["client"] = _client(headers.get(b"x-forwarded-for")) or (peer[0], peer[1])
        scope["server"] = (here[0], here[1])
        secure = headers.get(b"x-forwarded-proto") == b"https"
        if upgrades(scope, headers):
            scope["type"], scope["scheme"] = "websocket", "wss" if secure else "ws"
            del scope["method"]
        else:
            scope["scheme"] = "https" if secure else "http"
        scope["root_path"] = unquote(headers.get(b"x-forwarded-prefix", b"").decode("latin-1"))
        scope["path"] = scope["root_path"] + scope["path"]
        scope["state"] = self._server.state.copy()

    def _become_socket(self, scope: Dict[str, Any], headers: Dict[bytes, bytes]) -> None:
        from yurt_runner.web_socket import Socket

        self._socket = Socket(self, scope, headers)
        self._server.run(self._socket.run(self._server.app))
        if self._buffer:
            data, self._buffer = bytes(self._buffer), bytearray()
            self._socket.feed(data)

    def _flow(self) -> None:
        """Read no further while the app has enough, or the next request must wait."""
        exchange = self._exchange
        waiting = len(self._buffer) if exchange is None or exchange.body.complete else exchange.unread
        self.pause(full=exchange is not None and waiting > MAX_UNREAD_BYTES)

    def pause(self, *, full: bool) -> None:
        """Read no further, or go on."""
        if full == self._paused or self.transport.is_closing():
            return
        self._paused = full
        if full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def ended(self, *, keep: bool) -> None:
        """The reply is out, and the request was read to its end: on to the next one."""
        self._exchange = None
        if not keep or self._server.closing:
            self.transport.close()
            return
        self.advance()

    def _refuse(self, status: int) -> None:
        reason = HTTPStatus(status).phrase
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()

    def finish(self) -> None:
        """Close as soon as nothing runs."""
        if self._socket is not None:
            self._socket.leave()
        elif self._exchange is None:
            self.transport.close()

    def abort(self) -> None:
        """Close now, so that the other end sees that something is missing."""
        self.transport.abort()


class Exchange:
    """One request and its reply, as the app sees them.

    Attributes:
        body: what is still to come of the request.
        unread: bytes that have come and the app has not read.
        over: the reply is out.
    """

    def __init__(
        self, connection: Connection, server: Server, scope: Dict[str, Any], headers: Dict[bytes, bytes], body: Body
    ) -> None:
        self._connection = connection
        self._server = server
        self._scope = scope
        self.body = body
        self.unread = 0
        self._parts: List[bytes] = []
        self._gone = False
        self._told_end = False
        self._news = asyncio.Event()
        self._expects = headers.get(b"expect", b"").lower() == b"100-continue" and scope["http_version"] == "1.1"
        self._keep = keeps_alive(scope["http_version"], headers.get(b"connection", b""))
        self._reply = Reply(connection.transport, head=scope["method"] == "HEAD", version=scope["http_version"])
        self.over = False

    def take(self, buffer: bytearray) -> bytearray:
        """Take what belongs to the body; returns the rest."""
        parts, rest = self.body.take(buffer)
        if not self.over:  # else nobody reads it any more
            for part in parts:
                self._parts.append(part)
                self.unread += len(part)
            self._news.set()
        return rest

    @property
    def finished(self) -> bool:
        """Whether the reply is out and the request was read to its end."""
        return self.over and self.body.complete

    @property
    def keeps(self) -> bool:
        """Whether another request may follow."""
        return self._keep and self._reply.keeps

    def disconnected(self) -> None:
        """The client is gone."""
        self._gone = True
        self._news.set()

    async def run(self) -> None:
        """Run the app, whatever becomes of it."""
        reply = self._reply
        try:
            await self._server.app(self._scope, self._receive, self._send)
        except BaseException as error:  # noqa: BLE001 - whatever the app raises ends this request alone
            if not self._gone or not isinstance(error, (OSError, asyncio.CancelledError)):
                traceback.print_exc()
        else:
            if not reply.ended and not self._gone:
                note("The app returned without having sent its whole response.")
        if self._gone:
            return
        if not reply.started:
            reply.fail()
        elif not reply.ended:
            self._connection.abort()
            return
        self.over = True
        self._parts.clear()
        self.unread = 0
        if self.body.complete:
            self._connection.ended(keep=self.keeps)
        else:
            self._connection.advance()

    async def _receive(self) -> Dict[str, Any]:
        if self._expects and not self._reply.written and not self.body.complete:
            self._expects = False
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._gone or self._reply.ended or self._parts or (self.body.complete and not self._told_end)):
            self._news.clear()
            await self._news.wait()
        if self._told_end or self._gone or self._reply.ended:
            return {"type": "http.disconnect"}
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.unread = 0
        self._told_end = self.body.complete
        if not self._told_end:
            self._connection.advance()
        return {"type": "http.request", "body": bytes(data), "more_body": not self._told_end}

    async def _send(self, message: Dict[str, Any]) -> None:
        if self._gone:
            return
        self._reply.take(message)
        if self._reply.ended:
            self._news.set()  # whoever listens for the client's end
        if not self._connection.writable.is_set():
            await self._connection.writable.wait()


def read_head(head: bytes) -> Tuple[Dict[str, Any], Headers]:
    """The scope of a request, as far as its head tells, and its headers.

    Raises:
        ValueError: it is no HTTP/1 head.
    """
    lines = head.split(b"\r\n")
    method, target, version = lines[0].split(b" ")
    if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not method.isalpha():
        raise ValueError("not HTTP/1")
    headers: Headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name:
            raise ValueError("a header without a name")
        headers.append((name.lower(), value.strip(b" \t")))
    path, _, query = target.partition(b"?")
    if path[:1] != b"/" and path != b"*":
        raise ValueError("not a path")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version[5:].decode(),
        "method": method.decode().upper(),
        "path": unquote(path.decode("latin-1")) if b"%" in path else path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
    }
    return scope, headers


def upgrades(scope: Dict[str, Any], headers: Dict[bytes, bytes]) -> bool:
    """Whether a request asks for a WebSocket."""
    return (
        scope["method"] == "GET"
        and headers.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in headers.get(b"connection", b"").lower()
    )


def keeps_alive(version: str, connection: bytes) -> bool:
    """Whether a client wants to send further requests on this connection."""
    words = [word.strip() for word in connection.lower().split(b",")]
    return b"close" not in words if version == "1.1" else b"keep-alive" in words


def _client(forwarded: Optional[bytes]) -> Optional[Tuple[str, int]]:
    """The first of those that the gateway names."""
    first = forwarded.split(b",")[0].strip().decode("latin-1") if forwarded else ""
    return (first, 0) if first else None
