"""A double of Consul's HTTP API, as far as Yurt uses it; tests/contract/consul holds it to the real one."""

import asyncio
import re
import ssl
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Instance:
    """One place where a service is.

    Args:
        status: of its check: `passing`, `warning` or `critical`.
    """

    id: str
    address: str
    port: int
    meta: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    status: str = "passing"


SERVICES = "service"
NODES = "node"
EVERYTHING = frozenset({SERVICES, NODES, "agent"})
LEAST = frozenset({SERVICES, NODES})
"""What Yurt's token may read: services whose names begin with `yurt-`, and nodes."""


@dataclass
class ConsulKnobs:
    """Bad days.

    Attributes:
        slow_s: before each answer.
        leaderless: there is no leader, which is 500 with a text.
        tokens: what each may read; None for a Consul without ACLs. Who shows none may read nothing.
    """

    slow_s: float = 0
    leaderless: bool = False
    tokens: dict[str, Collection[str]] | None = None


class ConsulDouble:
    """Serves a catalog on a port of its own."""

    def __init__(self) -> None:
        self.knobs = ConsulKnobs()
        self.services: dict[str, list[Instance]] = {}
        self.requests: list[str] = []
        self.index = 10
        self.port = 0
        self._indexes: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._serves = False
        self._scheme = "http"
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    async def start(self, tls: ssl.SSLContext | None = None) -> "ConsulDouble":
        """Serve; after `stop` on the same port, with what it knew."""
        self._serves = True
        self._scheme = "http" if tls is None else "https"
        app = web.Application(middlewares=[self._middleware])
        app.add_routes(
            [
                web.get("/v1/status/leader", self._leader),
                web.get("/v1/agent/self", self._self),
                web.get("/v1/acl/token/self", self._token),
                web.post("/v1/internal/acl/authorize", self._authorize),
                web.get("/v1/catalog/services", self._catalog),
                web.get("/v1/health/service/{service}", self._health),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """Answer no more, those included who wait."""
        self._serves = False
        self._changed.set()
        self._changed = asyncio.Event()
        if self._runner is not None:
            await self._runner.cleanup()

    def put(self, service: str, instances: Iterable[Instance]) -> None:
        """Have a service at these places, and at no others."""
        self.services[service] = list(instances)
        self.index += 1
        self._indexes[service] = self.index
        if not self.services[service]:
            del self.services[service]
        self._changed.set()
        self._changed = asyncio.Event()

    def forget_indexes(self) -> None:
        """Count from the beginning, as a Consul does that lost its data."""
        self.index = 1
        self._indexes = {}
        self._changed.set()
        self._changed = asyncio.Event()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        await asyncio.sleep(self.knobs.slow_s)
        if self.knobs.leaderless:
            return web.Response(status=500, text="No cluster leader")
        if not self._is_known(request) and request.path != "/v1/status/leader":
            return web.Response(status=403, text="ACL not found")
        answer: web.StreamResponse = await handler(request)
        return answer

    def _is_known(self, request: web.Request) -> bool:
        token = request.headers.get("X-Consul-Token")
        return self.knobs.tokens is None or not token or token in self.knobs.tokens

    def _may(self, request: web.Request, right: str) -> bool:
        if self.knobs.tokens is None:
            return True
        return right in self.knobs.tokens.get(request.headers.get("X-Consul-Token", ""), ())

    def _shows(self, request: web.Request, service: str) -> bool:
        """A service is shown with its node; what is hidden counts as not there."""
        ours = service.startswith("yurt-") or self._may(request, "agent")
        return ours and self._may(request, SERVICES) and self._may(request, NODES)

    async def _token(self, request: web.Request) -> web.Response:
        if self.knobs.tokens is None:
            return web.Response(status=401, text="ACL support disabled")
        return web.json_response({"SecretID": request.headers.get("X-Consul-Token", "anonymous")})

    async def _authorize(self, request: web.Request) -> web.Response:
        if self.knobs.tokens is None:
            return web.Response(status=401, text="ACL support disabled")
        asked = await request.json()
        return web.json_response([{**one, "Allow": self._may(request, one["Resource"])} for one in asked])

    async def _leader(self, _request: web.Request) -> web.Response:
        return web.json_response("127.0.0.1:8300")

    async def _self(self, request: web.Request) -> web.Response:
        if not self._may(request, "agent"):
            return web.Response(status=403, text="Permission denied: lacks permission 'agent:read' on \"consul\"")
        return web.json_response({"Config": {"Datacenter": "dc1", "NodeName": "consul", "Version": "1.22.6"}})

    async def _catalog(self, request: web.Request) -> web.Response:
        def find() -> dict[str, list[str]]:
            places = {name: sorted({tag for one in at for tag in one.tags}) for name, at in self.services.items()}
            return {name: tags for name, tags in {"consul": [], **places}.items() if self._shows(request, name)}

        return await self._answer(request, None, find)

    async def _health(self, request: web.Request) -> web.Response:
        service = request.match_info["service"]

        def find() -> list[Any]:
            return [
                _shape(service, place)
                for place in self.services.get(service, [])
                if (place.status == "passing" or not request.query.get("passing")) and self._shows(request, service)
            ]

        return await self._answer(request, service, find)

    async def _answer(self, request: web.Request, service: str | None, find: Any) -> web.Response:
        if known := int(request.query.get("index") or 0):
            await self._wait_beyond(service, known, _seconds(request.query.get("wait") or "5m"))
        headers = {"X-Consul-Index": str(self._index_of(service)), "X-Consul-Knownleader": "true"}
        return web.json_response(find(), headers=headers)

    def _index_of(self, service: str | None) -> int:
        return self.index if service is None else self._indexes.get(service, self.index)

    async def _wait_beyond(self, service: str | None, known: int, seconds: float) -> None:
        """An index beyond the newest is no reason to wait: the counting has begun anew."""
        deadline = time.monotonic() + seconds
        while self._serves and self._index_of(service) == known and (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return


def _shape(service: str, place: Instance) -> Any:
    check = {"CheckID": f"service:{place.id}", "Status": place.status, "ServiceID": place.id, "Output": ""}
    return {
        "Node": {"Node": "consul", "Address": "127.0.0.1", "Datacenter": "dc1"},
        "Service": {
            "ID": place.id,
            "Service": service,
            "Address": place.address,
            "Port": place.port,
            "Tags": list(place.tags),
            "Meta": place.meta,
        },
        "Checks": [{"CheckID": "serfHealth", "Status": "passing", "ServiceID": "", "Output": ""}, check],
    }


def _seconds(text: str) -> float:
    """A time such as `55s`, `1m` or `300ms`."""
    found = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if found is None:
        raise web.HTTPBadRequest(text=f"Invalid wait time: {text}")
    return int(found[1]) * {"ms": 0.001, "s": 1, "m": 60}[found[2]]
