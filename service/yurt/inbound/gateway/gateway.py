"""The gateway: every public connection, and what they share."""

import asyncio
import ipaddress
import itertools
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from yurt.domain.errors import Forbidden
from yurt.domain.functions import LiveFunction
from yurt.domain.records import Role
from yurt.inbound.gateway.front import Elsewhere, Front
from yurt.inbound.gateway.limits import GatewayLimits
from yurt.inbound.gateway.requests import Request, Sites
from yurt.inbound.gateway.tunnel import Tunnel
from yurt.inbound.gateway.upstream import Idle, Upstream
from yurt.inbound.rest.auth import identify
from yurt.logging import RequestLine, RequestLog
from yurt.pools.traffic import Seat, Traffic
from yurt.usecases.tokens import Tokens

CONNECT_S = 5.0
LOOK_S = 1.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Gateway:
    """See the module.

    Args:
        find: the live function that bears a label.
        traffic: of a live function, by its id.
        tick: looks after requests that wait, called every `look_s` seconds.
        observe: notes a request for the metrics: operation, status, seconds.
        trusted: networks of proxies whose word on their clients counts.
        look_s: how often connections are looked at that may be late, in seconds.

    Attributes:
        fronts: connections of clients, those apart that have become WebSockets.
        tunnels: these.
        closing: nothing new is taken.
    """

    def __init__(
        self,
        *,
        find: Callable[[str], LiveFunction | None],
        traffic: Callable[[str], Traffic | None],
        tick: Callable[[], None],
        tokens: Tokens,
        log: RequestLog,
        observe: Callable[[str, int, float], None],
        limits: GatewayLimits,
        trusted: Sequence[Network] = (),
        look_s: float = LOOK_S,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.find = find
        self.limits = limits
        self.idle = Idle(self.loop)
        self.fronts: set[Front] = set()
        self.tunnels: set[Tunnel] = set()
        self.closing = False
        self._traffic = traffic
        self._tick = tick
        self._tokens = tokens
        self._log = log
        self._observe = observe
        self._trusted = trusted
        self._look_s = look_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._life = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def front(self, sites: Sites, elsewhere: Elsewhere | None = None) -> Front:
        """A protocol for a connection that came in."""
        return Front(self, sites, elsewhere)

    async def watch(self) -> None:
        """End what takes too long, until cancelled."""
        while True:
            await asyncio.sleep(self._look_s)
            now = self.loop.time()
            for front in list(self.fronts):
                front.look(now)
            self.idle.sweep()
            self._tick()

    def close(self) -> None:
        """Take nothing new: connections end with what they are doing."""
        self.closing = True
        for tunnel in list(self.tunnels):
            tunnel.close()
        for front in list(self.fronts):
            front.finish()

    async def stop(self) -> None:
        """End everything now."""
        self.close()
        for front in list(self.fronts):
            front.abort()
        self.idle.sweep(older_than_s=0)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------ for its connections

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something for a request that takes its time."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def traffic(self, live: LiveFunction) -> Traffic | None:
        """The requests of a function; None where it is gone."""
        return self._traffic(live.function_id)

    async def connect(self, seat: Seat) -> Upstream | None:
        """A new connection to a container, or None where there is none to be had."""
        address = seat.address

        def made() -> Upstream:
            return Upstream(seat.member.id, self.idle)

        try:
            async with asyncio.timeout(CONNECT_S):
                _, upstream = await self.loop.create_connection(made, address.host, address.port)
        except (OSError, TimeoutError):
            return None
        return upstream

    async def authorize(self, live: LiveFunction, header: str) -> None:
        """Check the credentials of a request.

        Raises:
            Unauthenticated: there are none, or wrong ones.
            Forbidden: they may not call functions of that environment.
            Unavailable: the store cannot be read.
        """
        principal = await identify(header or None, self._tokens)
        if not principal.allows(Role.INVOKE) or not principal.reaches(live.environment, live.app_id):
            raise Forbidden(f"This needs the role {Role.INVOKE} in the environment {live.environment}.")

    def trusts(self, host: str) -> bool:
        """Whether the word of a proxy at that address counts."""
        if not self._trusted:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)

    def request_id(self) -> str:
        """A new one."""
        return f"{self._life}{next(self._numbers):08x}"

    def note(self, request: Request, live: LiveFunction | None, status: int, began: float) -> None:
        """A request has ended."""
        took_s = time.perf_counter() - began
        self._observe("web", status, took_s)
        operation = "web" if live is None else f"web:{live.address}"
        path = request.target.partition(b"?")[0].decode("latin-1")  # what follows is the function's, and may be secret
        method = request.method.decode("latin-1")
        self._log.add(RequestLine(time.time(), self.request_id(), method, path, status, took_s, operation))
