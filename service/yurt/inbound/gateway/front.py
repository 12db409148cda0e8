"""A client's connection: requests in, one after the other, and their responses out."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import httptools

from yurt.inbound.gateway.answers import answer, moved
from yurt.inbound.gateway.exchange import Exchange
from yurt.inbound.gateway.hygiene import Client
from yurt.inbound.gateway.limits import HELD_BYTES, LINGER_S, MAX_HEADERS, MAX_PIPELINED
from yurt.inbound.gateway.requests import BadRequest, Request, Sites, settle

if TYPE_CHECKING:
    from yurt.inbound.gateway.gateway import Gateway

Elsewhere = Callable[[asyncio.Transport, bytes], None]


class Front(asyncio.Protocol):
    """See the module.

    Args:
        sites: where functions are found on this port.
        elsewhere: on a port that is shared, takes the connection over with a request that is for the other door.

    Attributes:
        early: what came after an upgrade was asked for.
    """

    __slots__ = (
        "_current",
        "_elsewhere",
        "_failure",
        "_head_bytes",
        "_head_since",
        "_heard",
        "_in_head",
        "_lingers",
        "_parser",
        "_paused",
        "_raw",
        "_reading",
        "_request",
        "_stuck_since",
        "_upgrading",
        "_upstream_full",
        "_waiting",
        "client",
        "early",
        "gateway",
        "loop",
        "sites",
        "transport",
    )

    def __init__(self, gateway: "Gateway", sites: Sites, elsewhere: Elsewhere | None = None) -> None:
        self.gateway = gateway
        self.sites = sites
        self.loop = gateway.loop
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until it is connected
        self.client = Client(b"")
        self.early = b""
        self._raw = b""
        self._elsewhere = elsewhere
        self._parser: Any = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._reading: Exchange | None = None  # whose body comes
        self._current: Exchange | None = None  # whose response goes out
        self._waiting: deque[Exchange] = deque()
        self._in_head = False
        self._head_bytes = 0
        self._head_since = 0.0
        self._heard = gateway.loop.time()
        self._stuck_since: float | None = None
        self._paused = self._upstream_full = False
        self._upgrading = False
        self._lingers: float | None = None
        self._failure: BadRequest | None = None

    # ------------------------------------------------------------------ of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no instances
        peer = transport.get_extra_info("peername") or ("",)
        self.client = Client(str(peer[0]).encode(), self.gateway.trusts(str(peer[0])))
        self.gateway.fronts.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        del exc
        self.gateway.fronts.discard(self)
        exchange, self._current = self._current, None
        self._waiting.clear()
        if exchange is not None:
            exchange.abandon()

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._stuck_since = self.loop.time()
        if self._current is not None:
            self._current.client_full(full=True)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stuck_since = None
        if self._current is not None:
            self._current.client_full(full=False)

    def data_received(self, data: bytes) -> None:
        """Some of a request has come."""
        self._heard = self.loop.time()
        if self._lingers is not None:
            return
        if self._upgrading:
            self._take_early(data)
            return
        if self._elsewhere is not None:
            self._keep_raw(data)
        self._feed(data)
        if self._current is not None:
            self._current.pass_on()
        self._next()
        self.flow()

    def _keep_raw(self, data: bytes) -> None:
        """The bytes of a request that is answered next, until it is known for whom it is."""
        if self._current is None and self._reading is None:
            self._raw = self._raw + data if self._in_head else data

    def hand_over(self) -> bool:
        """The current request is for no function: where the port is shared, it is for the other door."""
        if self._elsewhere is None or not self._raw:
            return False
        self._current = None
        self._waiting.clear()
        self.gateway.fronts.discard(self)
        self._elsewhere(self.transport, self._raw)
        return True

    def _feed(self, data: bytes) -> None:
        if self._in_head or self._reading is None:
            if not self._head_bytes:
                self._head_since = self._heard
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrading = True
            self._take_early(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, BadRequest):
                raise
            self._fail(error.__context__)
        except httptools.HttpParserError:
            self._fail(BadRequest(400, "This is not HTTP as the gateway reads it: check the request line and headers."))
        if self._in_head and self._head_bytes > self.gateway.limits.head_bytes:
            self._fail(BadRequest(431, f"The headers are above the limit of {self.gateway.limits.head_bytes} bytes."))

    def _take_early(self, data: bytes) -> None:
        self.early += data
        if len(self.early) > HELD_BYTES:
            self.abort()

    def _fail(self, error: BadRequest) -> None:
        """What comes cannot be read any further; what was asked before is answered first."""
        self._in_head = False
        broken, self._reading = self._reading, None
        if broken is not None and broken is self._current:
            self.refuse(error.status, error.detail)
            return
        if broken is not None:
            self._waiting.remove(broken)
        self._failure = error
        self._next()

    # ------------------------------------------------------------------ of the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self._request = Request(b"", b"", "")
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Its target, or a piece of it."""
        if self._request is not None:
            self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; trailers are dropped."""
        request = self._request
        if request is not None and self._in_head:
            request.headers.append((name.lower(), value))
            if len(request.headers) > MAX_HEADERS:
                raise BadRequest(431, f"A request has at most {MAX_HEADERS} headers.")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        request = self._request
        if request is None:
            return
        request.method, request.version = self._parser.get_method(), self._parser.get_http_version()
        self._in_head = False
        if self._head_bytes > self.gateway.limits.head_bytes:  # or a body came with it
            self._check_size(request)
        self._head_bytes = 0
        settle(request)
        if self._parser.should_upgrade() and not request.upgrade:
            request.keep = False  # the parser reads no further
            if not request.bodiless:
                raise BadRequest(501, "The protocol that the request wants to change to is not known here.")
        self._reading = exchange = Exchange(self, request)
        self._waiting.append(exchange)

    def _check_size(self, request: Request) -> None:
        limit = self.gateway.limits.head_bytes
        if len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers) > limit:
            raise BadRequest(431, f"The headers are above the limit of {limit} bytes.")

    def on_body(self, data: bytes) -> None:
        """A piece of its body."""
        if self._reading is not None:
            self._reading.take(data)

    def on_message_complete(self) -> None:
        """It is whole."""
        if self._reading is not None:
            self._reading.complete = True
            self._reading = None

    # ------------------------------------------------------------------ one after the other

    def _next(self) -> None:
        """Begin with the next request, if none is being answered."""
        while self._current is None and self._waiting and self._lingers is None:
            self._current = exchange = self._waiting.popleft()
            exchange.begin()
        if self._current is None and not self._waiting and self._failure is not None and self._lingers is None:
            failure, self._failure = self._failure, None
            self._answer(failure.status, failure.detail)

    def answered(self, *, keep: bool) -> None:
        """The response is out."""
        self._current = None
        self._raw = b""
        if not keep:
            self._close_gently()
            return
        self._heard = self.loop.time()
        self._upstream_full = False
        self._next()
        self.flow()

    def answers(self, exchange: Exchange) -> bool:
        """Whether it is the turn of that request."""
        return self._current is exchange

    def refuse(self, status: int, detail: str) -> None:
        """The gateway itself answers the current request."""
        exchange, self._current, self._raw = self._current, None, b""
        if exchange is None:
            return
        begun = exchange.status
        exchange.refused(begun or status)
        if begun:
            self.abort()
            return
        bare, keep = exchange.request.method == b"HEAD", exchange.request.keep and exchange.complete
        self._answer(status, detail, bare=bare, keep=keep and not self._upgrading and not self.gateway.closing)

    def redirect(self, target: bytes) -> None:
        """The path lacks the slash after the label."""
        exchange, self._current, self._raw = self._current, None, b""
        if exchange is None:
            return
        exchange.refused(308)
        keep = exchange.request.keep and exchange.complete and not self._upgrading
        self.transport.write(moved(target, keep=keep))
        self._answered_here(keep=keep)

    def _answer(self, status: int, detail: str, *, bare: bool = False, keep: bool = False) -> None:
        self.transport.write(answer(status, detail, self.gateway.request_id(), bare=bare, keep=keep))
        self._answered_here(keep=keep)

    def _answered_here(self, *, keep: bool) -> None:
        """The gateway itself has answered: on to the next request, but not within this one's turn."""
        if not keep:
            self._close_gently()
            return
        self._heard = self.loop.time()
        self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self.transport.is_closing() and self._parser is not None:
            self._next()
            self.flow()

    def _close_gently(self) -> None:
        """Close once the client has read; what it still sends would otherwise take the answer away from it."""
        if self._reading is None and not self._upgrading and not self._failing:
            self.transport.close()
            return
        self._lingers = self.loop.time() + LINGER_S
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()

    @property
    def _failing(self) -> bool:
        return self._head_bytes > 0

    def hold(self, *, full: bool) -> None:
        """The container does not take more for now, or takes it again."""
        self._upstream_full = full
        self.flow()

    def flow(self) -> None:
        """Read no further while enough is here that nobody takes."""
        current = self._current
        held = current is not None and current.full
        ahead = len(self._waiting) > MAX_PIPELINED or (bool(self._waiting) and self._waiting[-1].full)
        full = self._upstream_full or held or ahead
        if full != self._paused and not self.transport.is_closing():
            self._paused = full
            if full:
                self.transport.pause_reading()
            else:
                self._heard = self.loop.time()
                self.transport.resume_reading()

    def detach(self) -> None:
        """The connection is a WebSocket's from now on."""
        self.gateway.fronts.discard(self)
        self._current = self._parser = None

    def abort(self) -> None:
        """Close now, so that the client sees that something is missing."""
        self.transport.abort()

    def finish(self) -> None:
        """The server ends: close if nothing is being answered."""
        if self._current is None and not self._waiting:
            self.transport.close()

    # ------------------------------------------------------------------ the clock

    def look(self, now: float) -> None:
        """End what takes too long."""
        limits = self.gateway.limits
        if self._lingers is not None:
            if now > self._lingers:
                self.abort()
        elif self._stuck_since is not None and now - self._stuck_since > limits.idle_s:
            self.abort()
        elif self._current is None:
            self._look_between(now)
        elif self._reading is self._current and not self._current.status and not self._paused:
            if now - self._heard > limits.idle_s:
                self.refuse(408, f"Nothing of the body came for {limits.idle_s:g} s.")
        elif (late := self._current.late(now)) is not None:
            self.refuse(*late)

    def _look_between(self, now: float) -> None:
        limits = self.gateway.limits
        if self._in_head or self._head_bytes:
            if now - self._head_since > limits.idle_s:
                self._in_head = False
                self._answer(408, f"The head of the request did not come within {limits.idle_s:g} s.")
        elif now - self._heard > limits.keep_s:
            self.transport.close()
