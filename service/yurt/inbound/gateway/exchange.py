"""One request and its response, between a client's connection and a container's."""

import asyncio
import time
from typing import TYPE_CHECKING

from yurt.domain.errors import Forbidden, Unauthenticated, Unavailable
from yurt.domain.functions import LiveFunction
from yurt.inbound.gateway.answers import nowhere
from yurt.inbound.gateway.hygiene import Framing, interim_head, request_head, response_head, upgrade_head
from yurt.inbound.gateway.limits import HELD_BYTES
from yurt.inbound.gateway.requests import Place, Request
from yurt.inbound.gateway.tunnel import Tunnel
from yurt.inbound.gateway.upstream import Upstream
from yurt.pools.traffic import Away, Full, Seat, Traffic

if TYPE_CHECKING:
    from yurt.inbound.gateway.front import Front

_AWAY = {
    Away.GONE: (404, "There is no such endpoint any more."),
    Away.BROKEN: (503, "The endpoint does not start. Its logs say why."),
}


class Exchange:
    """See the module. Implements `yurt.pools.traffic.Visitor` and `yurt.inbound.gateway.upstream.Asker`.

    Attributes:
        complete: the request has come to its end.
        status: what the client was answered with; 0 before.
        over: nothing more happens.
        stage: what it waits for, for those who look at the clock; `since` when, on the loop's.
    """

    __slots__ = (
        "_connecting",
        "_framing",
        "_held",
        "_held_bytes",
        "_live",
        "_out",
        "_place",
        "_retried",
        "_seat",
        "_sent_end",
        "_spent",
        "_traffic",
        "_tunnel",
        "_upstream",
        "began",
        "complete",
        "front",
        "over",
        "request",
        "seen_bytes",
        "since",
        "stage",
        "status",
    )

    BODY, QUEUE, ANSWER, STREAM = range(4)

    def __init__(self, front: "Front", request: Request) -> None:
        self.front = front
        self.request = request
        self.complete = False
        self.over = False
        self.status = 0
        self.began = time.perf_counter()
        self.since = 0.0
        self.stage = self.BODY
        self.seen_bytes = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._out: list[bytes] = []
        self._place: Place | None = None
        self._live: LiveFunction | None = None
        self._traffic: Traffic | None = None
        self._seat: Seat | None = None
        self._upstream: Upstream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._framing: Framing | None = None
        self._spent: bytes | None = None
        self._retried = False
        self._sent_end = False
        self._tunnel: Tunnel | None = None

    # ------------------------------------------------------------------ the request

    def begin(self) -> None:
        """It is this request's turn: find who answers it."""
        gateway, request = self.front.gateway, self.request
        place = self.front.sites.place(request.header(b"host") or b"", request.target)
        if place is None and self.front.hand_over():
            self.over = True
            return
        if gateway.closing:
            self.front.refuse(503, "The server is shutting down.")
            return
        if self._too_large:
            self.front.refuse(413, f"The body is above the limit of {gateway.limits.body_bytes} bytes.")
            return
        self._live = gateway.find(place.label) if place is not None else None
        if place is None or self._live is None:
            self.front.refuse(404, nowhere(place.label if place is not None else ""))
        elif not place.target:
            self.front.redirect(request.target)
        else:
            self._place = place
            self._admit()

    @property
    def _too_large(self) -> bool:
        return max(self.request.length or 0, self.seen_bytes) > self.front.gateway.limits.body_bytes

    def _admit(self) -> None:
        live = self._live
        if live is None or live.web is None or not live.web.requires_auth:
            self._ready()
            return
        name = next((one for one in (b"yurt-authorization", b"authorization") if self.request.header(one)), b"")
        value = (self.request.header(name) or b"").decode("latin-1")
        self.stage, self.since = self.ANSWER, self.front.loop.time()
        self._connecting = self.front.gateway.run(self._check(live, name, value))

    async def _check(self, live: LiveFunction, name: bytes, value: str) -> None:
        try:
            await self.front.gateway.authorize(live, value)
        except Unauthenticated as error:
            self._refuse(401, error.detail)
        except Forbidden as error:
            self._refuse(403, error.detail)
        except Unavailable:
            self._refuse(503, "Credentials cannot be checked now.")
        else:
            self._spent = name
            self._connecting = None
            if not self.over:
                self._ready()

    def _ready(self) -> None:
        """Small bodies are waited for before a container is bothered: a slow client then holds up nobody but itself."""
        request = self.request
        small = request.length is not None and request.length <= HELD_BYTES and request.header(b"expect") is None
        if small and not self.complete:
            self.stage, self.since = self.BODY, self.front.loop.time()
            return
        self._enter(None)

    def _enter(self, not_in: str | None) -> None:
        gateway, live = self.front.gateway, self._live
        traffic = gateway.traffic(live) if live is not None else None
        if traffic is None:
            self._refuse(404, "There is no such endpoint any more.")
            return
        self._traffic = traffic
        try:
            seat = traffic.enter(self, most=gateway.limits.waiting, not_in=not_in)
        except Full:
            self._refuse(503, "Too many requests wait for this endpoint.")
            return
        if seat is not None:
            self.seated(seat)
        else:
            self.stage, self.since = self.QUEUE, self.front.loop.time()

    def seated(self, seat: Seat) -> None:
        """There is room in a container."""
        self._seat = seat
        self.stage, self.since = self.ANSWER, self.front.loop.time()
        gateway = self.front.gateway
        upstream = gateway.idle.take(seat.member.id) if self._may_reuse(seat) else None
        if upstream is not None:
            self._ask(upstream)
        else:
            self._connecting = gateway.run(self._connect(seat))

    def _may_reuse(self, seat: Seat) -> bool:
        """A server of the user's own may close a connection at any time: what cannot be sent twice gets a new one."""
        web = seat.function.web
        if self._retried:
            return False
        return self.request.again or (web is not None and web.kind != "web_server")

    async def _connect(self, seat: Seat) -> None:
        upstream = await self.front.gateway.connect(seat)
        self._connecting = None
        if self.over:
            if upstream is not None:
                upstream.transport.abort()
        elif upstream is None:
            if self._traffic is not None:
                self._traffic.failed(seat)
            self._again(502, "The endpoint cannot be reached.", sent=False)
        else:
            self._ask(upstream)

    def _ask(self, upstream: Upstream) -> None:
        place = self._place
        if place is None:
            raise RuntimeError("a request without a place was seated")
        self._upstream = upstream
        head = request_head(self.request, self.front.client, place.prefix, place.target, self._spent)
        held, self._held, self._held_bytes = self._held, [], 0
        upstream.ask(self, b"".join([head, *self._framed(held)]))
        if not self.complete:
            self.front.flow()

    def _framed(self, parts: list[bytes]) -> list[bytes]:
        """A piece of the body as the container gets it."""
        self._sent_end = self.complete
        if not self.request.chunked:
            return parts
        framed = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
        return [*framed, b"0\r\n\r\n"] if self.complete else framed

    def take(self, data: bytes) -> None:
        """A piece of the body has come."""
        self.seen_bytes += len(data)
        if self.over:
            return
        if self._too_large and self.front.answers(self):
            self._refuse(413, f"The body is above the limit of {self.front.gateway.limits.body_bytes} bytes.")
            return
        self._held.append(data)
        self._held_bytes += len(data)

    def pass_on(self) -> None:
        """Send on what has come of the body."""
        if self.over:
            return
        if self._upstream is None:
            waits = self.stage == self.BODY and self._place is not None and self._seat is None
            if waits and self.complete and self._traffic is None and self._connecting is None:
                self._enter(None)
        elif self._held or (self.complete and not self._sent_end):
            held, self._held, self._held_bytes = self._held, [], 0
            self._upstream.transport.write(b"".join(self._framed(held)))

    @property
    def full(self) -> bool:
        """Whether no more of the body is wanted for now."""
        return self._held_bytes >= HELD_BYTES

    # ------------------------------------------------------------------ the response

    def interim(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """See `Asker`."""
        if self.request.modern:
            self._out.append(interim_head(status, headers))

    def head(self, status: int, headers: list[tuple[bytes, bytes]], *, sized: bool, bare: bool) -> None:
        """See `Asker`."""
        self.status, self.stage = status, self.STREAM
        if self._seat is not None and self._traffic is not None:
            self._traffic.answered(self._seat)
        keep = self.request.keep and self.complete and not self.front.gateway.closing and not self.request.upgrade
        head, self._framing = response_head(status, headers, self.request, sized=sized, bare=bare, keep=keep)
        self._out.append(head)

    def body(self, data: bytes) -> None:
        """See `Asker`."""
        chunked = self._framing is not None and self._framing.chunked
        self._out.append(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)

    def flush(self) -> None:
        """See `Asker`."""
        if self._out and not self.front.transport.is_closing():
            self.front.transport.write(b"".join(self._out))
            self._out = []

    def end(self) -> None:
        """See `Asker`."""
        framing = self._framing
        if framing is not None and framing.chunked:
            self._out.append(b"0\r\n\r\n")
        self.flush()
        self._leave(reusable=self.complete)
        self._finish()
        self.front.answered(keep=framing is not None and framing.keep)

    def upgraded(self, headers: list[tuple[bytes, bytes]], rest: bytes) -> None:
        """See `Asker`."""
        upstream, front = self._upstream, self.front
        if upstream is None or self._traffic is None or self._seat is None:
            raise RuntimeError("a request was upgraded that was not asked")
        self.status = 101
        self._traffic.answered(self._seat)
        front.transport.write(upgrade_head(headers) + rest)
        if front.early:
            upstream.transport.write(front.early)
        upstream.detach()
        front.detach()
        self._tunnel = Tunnel(front.transport, upstream.transport, self._hung_up)
        front.gateway.tunnels.add(self._tunnel)

    def _hung_up(self) -> None:
        if self._tunnel is not None:
            self.front.gateway.tunnels.discard(self._tunnel)
        self._upstream = None
        self._leave(reusable=False)
        self._finish()

    def broken(self) -> None:
        """See `Asker`."""
        self._upstream = None
        if self.over:
            return
        if self.status:
            self._leave(reusable=False)
            self._finish()
            self.front.abort()  # the client must not take what there is for the whole
            return
        self._again(502, "The endpoint broke the connection off.", sent=True)

    def _again(self, status: int, detail: str, *, sent: bool) -> None:
        """The container failed the request: it is tried once elsewhere, if that can do no harm."""
        seat, self._seat = self._seat, None
        if seat is None or self._traffic is None:
            return
        self._traffic.leave(seat)
        harmless = self.request.again if sent else not self._sent_body
        if self._retried or not harmless:
            self._refuse(status, detail)
            return
        self._retried = True
        self._enter(seat.member.id)

    @property
    def _sent_body(self) -> bool:
        """Whether some of the body has gone to a container, and so cannot be sent again."""
        return self.seen_bytes > self._held_bytes

    # ------------------------------------------------------------------ the end

    def turned_away(self, why: Away) -> None:
        """See `Visitor`."""
        self._refuse(*_AWAY[why])

    def upstream_full(self, *, full: bool) -> None:
        """See `Asker`."""
        self.front.hold(full=full)

    def client_full(self, *, full: bool) -> None:
        """The client does not read as fast as the container answers, or has caught up."""
        if self._upstream is not None and not self._upstream.transport.is_closing():
            if full:
                self._upstream.transport.pause_reading()
            else:
                self._upstream.transport.resume_reading()

    def _refuse(self, status: int, detail: str) -> None:
        if not self.over:
            self.front.refuse(status, detail)

    def refused(self, status: int) -> None:
        """The client is answered by the gateway."""
        self.status = status
        self._leave(reusable=False)
        self._finish()

    def abandon(self) -> None:
        """The client has gone."""
        if not self.over:
            self.status = self.status or 499
            self._leave(reusable=False)
            self._finish()

    def _leave(self, *, reusable: bool) -> None:
        """Give back what it has of a container."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.release(reusable=reusable)
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        self._connecting = None
        seat, self._seat = self._seat, None
        if self._traffic is not None:
            if seat is not None:
                self._traffic.leave(seat)
            else:
                self._traffic.forget(self)

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            self._held = []
            self.front.gateway.note(self.request, self._live, self.status, self.began)

    def late(self, now: float) -> tuple[int, str] | None:
        """Status and reason, if what it waits for should have come."""
        gateway = self.front.gateway
        if self.over or self.stage == self.STREAM:
            return None
        waited_s = now - self.since
        if self.stage == self.QUEUE and waited_s > gateway.limits.wait_s:
            return 504, f"No container of this endpoint became free within {gateway.limits.wait_s:g} s."
        if self.stage == self.ANSWER and self.complete and self._live is not None and waited_s > self._live.timeout_s:
            return 504, f"The endpoint did not answer within {self._live.timeout_s:g} s."
        return None
