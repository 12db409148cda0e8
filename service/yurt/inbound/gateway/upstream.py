"""A connection to a container's server."""

import asyncio
from typing import Any, Protocol, cast

import httptools

from yurt.inbound.gateway.requests import Request

MAX_HEAD_BYTES = 128 << 10


class Asker(Protocol):
    """A request on a connection to a container."""

    request: Request

    def interim(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """A response before the real one."""

    def head(self, status: int, headers: list[tuple[bytes, bytes]], *, sized: bool, bare: bool) -> None:
        """The response begins; see `yurt.inbound.gateway.hygiene.response_head`."""

    def body(self, data: bytes) -> None:
        """A piece of it."""

    def end(self) -> None:
        """It is whole."""

    def flush(self) -> None:
        """Nothing more has come for now."""

    def upgraded(self, headers: list[tuple[bytes, bytes]], rest: bytes) -> None:
        """The connection is a WebSocket's from now on; `rest` is what it has said already."""

    def broken(self) -> None:
        """The connection is gone, or what it says is not HTTP."""

    def upstream_full(self, *, full: bool) -> None:
        """The container does not take more of the request for now, or takes it again."""


class Upstream(asyncio.Protocol):
    """One connection, for one request after the other.

    Attributes:
        container_id: whose.
        idle_since: on the loop's clock.
        reused: it has served a request before.
    """

    __slots__ = (
        "_asker",
        "_bare",
        "_chunked",
        "_ended",
        "_headers",
        "_in_head",
        "_interim",
        "_keep",
        "_left",
        "_parser",
        "_pool",
        "_seen_bytes",
        "_sized",
        "container_id",
        "idle_since",
        "reused",
        "transport",
    )

    def __init__(self, container_id: str, pool: "Idle") -> None:
        self.container_id = container_id
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until it is connected
        self.idle_since = 0.0
        self.reused = False
        self._pool = pool
        self._asker: Asker | None = None
        self._parser: Any = None
        self._reset()

    def _reset(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head = True
        self._interim = self._sized = self._chunked = self._bare = self._ended = False
        self._keep = False
        self._seen_bytes = 0

    def ask(self, asker: Asker, data: bytes) -> None:
        """Send a request, or the beginning of one."""
        self._asker = asker
        self._reset()
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self.transport.write(data)

    def release(self, *, reusable: bool) -> None:
        """The request is over: the connection waits for another, or is closed."""
        self._asker = None
        if reusable and self._keep and not self.transport.is_closing():
            self.reused = True
            self.transport.resume_reading()
            self._pool.put(self)
        else:
            self.transport.abort()

    def detach(self) -> None:
        """The connection is a WebSocket's: it is served by another protocol."""
        self._asker = self._parser = None

    # ------------------------------------------------------------------ of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no instances

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: the end of a body that only this delimits."""
        asker, self._asker = self._asker, None
        if asker is None:
            self._pool.drop(self)
        elif exc is None and not self._in_head and not self._sized and not self._chunked:
            self._keep = False
            asker.end()
            asker.flush()
        else:
            asker.broken()

    def pause_writing(self) -> None:
        """The container reads slowly."""
        if self._asker is not None:
            self._asker.upstream_full(full=True)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._asker is not None:
            self._asker.upstream_full(full=False)

    def data_received(self, data: bytes) -> None:
        """Some of a response has come; what nobody asked for ends the connection."""
        asker = self._asker
        if asker is None:
            self.transport.abort()
            return
        if self._in_head:
            self._seen_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._ended or not self._upgrades():
                self._fail(asker)
            else:
                asker.upgraded(self._headers, data[upgrade.args[0] :])
            return
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._fail(asker)
            return
        if self._in_head and self._seen_bytes > MAX_HEAD_BYTES:
            self._fail(asker)
        elif self._ended:
            self._finish(asker)
        else:
            asker.flush()

    def _upgrades(self) -> bool:
        return self._asker is not None and self._asker.request.upgrade and self._status() == 101

    def _status(self) -> int:
        return int(self._parser.get_status_code())

    def _fail(self, asker: Asker) -> None:
        self._asker = None
        self.transport.abort()
        asker.broken()

    def _finish(self, asker: Asker) -> None:
        if self._bare:
            self._parser = None  # it would wait for a body
        asker.end()
        asker.flush()

    # ------------------------------------------------------------------ of the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; trailers are dropped."""
        if not self._in_head:
            return
        self._headers.append((name, value))
        lower = name.lower()
        if lower == b"content-length":
            self._sized = True
        elif lower == b"transfer-encoding":
            self._chunked = True

    def on_headers_complete(self) -> None:
        """The head is whole."""
        asker, status = self._asker, self._status()
        if asker is None or status == 101:
            return
        if status < 200:
            self._interim = True
            asker.interim(status, self._headers)
            self._headers = []
            return
        self._interim = False
        self._in_head = False
        self._sized = self._sized and not self._chunked
        self._bare = asker.request.method == b"HEAD" or status in {204, 304}
        self._keep = bool(self._parser.should_keep_alive()) or (self._bare and self._parser.get_http_version() == "1.1")
        self._ended = self._bare
        asker.head(status, self._headers, sized=self._sized, bare=self._bare)

    def on_body(self, data: bytes) -> None:
        """A piece of the body; after a head alone there is none."""
        if self._asker is not None and not self._bare:
            self._asker.body(data)

    def on_message_complete(self) -> None:
        """A response is whole, or the one before it."""
        if self._interim:
            self._interim = False
        elif not self._in_head:
            self._ended = True


class Idle:
    """Connections that wait for a request, by container.

    Args:
        loop: whose clock tells how long they wait.
    """

    MOST = 256
    """For one container."""

    KEEP_S = 20.0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._idle: dict[str, list[Upstream]] = {}

    def take(self, container_id: str) -> Upstream | None:
        """The one that was used last."""
        idle = self._idle.get(container_id)
        while idle:
            found = idle.pop()
            if not found.transport.is_closing():
                return found
        return None

    def put(self, upstream: Upstream) -> None:
        """One has served its request."""
        idle = self._idle.setdefault(upstream.container_id, [])
        if len(idle) >= self.MOST:
            upstream.transport.abort()
            return
        upstream.idle_since = self._loop.time()
        idle.append(upstream)

    def drop(self, upstream: Upstream) -> None:
        """One has ended by itself."""
        idle = self._idle.get(upstream.container_id)
        if idle is not None and upstream in idle:
            idle.remove(upstream)
            if not idle:
                del self._idle[upstream.container_id]

    def sweep(self, *, older_than_s: float = KEEP_S) -> None:
        """Close those that have waited for long."""
        before = self._loop.time() - older_than_s
        for container_id, idle in list(self._idle.items()):
            old = [one for one in idle if one.idle_since <= before]
            self._idle[container_id] = [one for one in idle if one.idle_since > before]
            if not self._idle[container_id]:
                del self._idle[container_id]
            for one in old:
                one.transport.abort()
