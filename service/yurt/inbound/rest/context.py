"""What a handler is given: one request, read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from aiohttp import web

from yurt.domain.web import WebPlaces
from yurt.inbound.rest.call_shapes import Shaper
from yurt.inbound.rest.pages import Pages
from yurt.inbound.rest.readiness import Health
from yurt.inbound.rest.room import Room
from yurt.metrics import Metrics
from yurt.pools.heart import Heart
from yurt.ports import Clock, Logs
from yurt.usecases.apps import Apps
from yurt.usecases.backlog import Backlog
from yurt.usecases.bundles import Bundles
from yurt.usecases.callbacks import Callbacks
from yurt.usecases.calls import Calls
from yurt.usecases.containers import Containers
from yurt.usecases.environments import Environments
from yurt.usecases.events import Events
from yurt.usecases.functions import Functions
from yurt.usecases.maps import MapDesk
from yurt.usecases.principals import Principal
from yurt.usecases.redrives import Redrives
from yurt.usecases.schedules import Schedules
from yurt.usecases.secrets import Secrets
from yurt.usecases.supply import Supply
from yurt.usecases.tokens import Tokens

Q_co = TypeVar("Q_co", covariant=True)
B_co = TypeVar("B_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases that handlers call, and what the server knows of itself."""

    environments: Environments
    tokens: Tokens
    apps: Apps
    functions: Functions
    bundles: Bundles
    secrets: Secrets
    calls: Calls
    backlog: Backlog
    maps: MapDesk
    redrives: Redrives
    schedules: Schedules
    body_limit_bytes: int
    callbacks: Callbacks
    events: Events
    containers: Containers
    supply: Supply
    logs: Logs
    heart: Heart
    shaper: Shaper
    clock: Clock
    health: Health
    metrics: Metrics
    web: WebPlaces = field(default_factory=WebPlaces)
    pages: Pages = field(default_factory=Pages)


@dataclass(slots=True)  # not frozen: that would cost a microsecond of every request
class Context(Generic[Q_co, B_co]):
    """One request, after credentials, role, query and body were found right.

    Args:
        request: for headers and streaming; query and body are better read from the other fields.
        path: the path's parameters, decoded; each matches the pattern of its name in `yurt.inbound.rest.paths`.
        principal: who asks; `NOBODY` where the operation is open.
        query: the validated query, or None where the operation declares none.
        body: the validated body (`JsonBody`), its bytes (`RawJsonBody`), an `Upload` (`BinaryBody`), or None.
        request_id: what the answer's `X-Request-Id` will say.
        room: where a large body has taken its place; the door leaves it when the handler has returned.
    """

    request: web.BaseRequest
    path: Mapping[str, str]
    principal: Principal
    query: Q_co
    body: B_co
    services: Services
    request_id: str
    room: Room

    def header(self, name: str) -> str | None:
        """One header of the request, or None."""
        return self.request.headers.get(name)
