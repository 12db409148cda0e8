"""A REST door over a store that lives in memory, and a client of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import BaseTestServer, TestClient

from tests.clocks import FreeClock
from tests.component.rest.memory_store import MemoryStore
from yurt.domain.records import Role
from yurt.inbound.rest import docs, environments, health, tokens
from yurt.inbound.rest.context import Services
from yurt.inbound.rest.door import Door as RestDoor
from yurt.inbound.rest.operations import Operation
from yurt.inbound.rest.pages import Pages
from yurt.inbound.rest.readiness import Health, Phase
from yurt.inbound.rest.server import DoorRunner
from yurt.logging import RequestLog
from yurt.metrics import Metrics
from yurt.ports import Store
from yurt.usecases.environments import Environments
from yurt.usecases.principals import Principal
from yurt.usecases.tokens import NewToken, Tokens

NOTE = "The local engine does not isolate functions from this machine."
ROOT = Principal("tk-test", Role.ADMIN, None)

FRAME = (*environments.OPERATIONS, *tokens.OPERATIONS, *health.OPERATIONS, *docs.OPERATIONS)
"""The operations that need nothing but the frame's own use cases."""


class HeldClock(FreeClock):
    """A clock whose sleepers need not wait."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


@dataclass
class FrameServices:
    """The services that the frame's own operations use; the others' handlers are not part of these doors."""

    environments: Environments
    tokens: Tokens
    health: Health
    metrics: Metrics
    pages: Pages = field(default_factory=Pages)


@dataclass
class Answered:
    """An answer, read whole."""

    status: int
    headers: Any
    text: str

    def json(self) -> Any:
        return msgspec.json.decode(self.text)


@dataclass
class Door:
    """A served door, and what stands behind it."""

    client: TestClient[Any, Any]
    services: Services
    store: MemoryStore
    """Unless the door was made over another one."""
    clock: HeldClock
    admin: NewToken
    log_text: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, *, token: NewToken | None = None, **kwargs: Any) -> Answered:
        """Send a request as the administrator, or as `token`; `headers` may replace the credentials."""
        credentials = token or self.admin
        headers = {"Authorization": f"Bearer {credentials.token.id}:{credentials.secret}"}
        headers |= kwargs.pop("headers", {})
        response: ClientResponse
        async with self.client.request(method, path, headers=headers, **kwargs) as response:
            return Answered(response.status, response.headers, await response.text())

    async def token(self, role: Role, environment: str | None = None, expires_at: float | None = None) -> NewToken:
        """A further token."""
        return await self.services.tokens.create(
            ROOT, name="test", role=role, environment=environment, expires_at=expires_at
        )


class DoorServer(BaseTestServer):
    """Serves a door as the server itself does."""

    def __init__(self, door: RestDoor) -> None:
        super().__init__()
        self.door = door

    async def _make_runner(self, **kwargs: Any) -> web.BaseRunner:
        return DoorRunner(self.door)


MakeDoor = Callable[..., Awaitable[Door]]


@pytest.fixture
async def make_door() -> AsyncIterator[MakeDoor]:
    """Makes doors: with `extra` operations, `over` another store, and `options` of the door."""
    opened: list[tuple[TestClient[Any, Any], asyncio.Task[None]]] = []

    async def make(extra: tuple[Operation, ...] = (), over: Store | None = None, **options: Any) -> Door:
        clock, memory = HeldClock(), MemoryStore()
        store = over or memory
        known = Environments(store, clock)
        await known.open()
        held = Tokens(store, clock, os.urandom, known)
        ready = Health({"store": store.check}, (NOTE,))
        ready.phase = Phase.SERVING
        services = cast("Services", FrameServices(environments=known, tokens=held, health=ready, metrics=Metrics()))
        text: list[str] = []
        log = RequestLog(text.append)
        door = RestDoor(services, log, operations=(*FRAME, *extra), **options)
        client: TestClient[Any, Any] = TestClient(DoorServer(door))
        await client.start_server()
        opened.append((client, asyncio.create_task(log.run(), name="request-log")))
        admin = await held.create(ROOT, name="root", role=Role.ADMIN)
        return Door(client, services, memory, clock, admin, text)

    yield make
    for client, task in opened:
        await client.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def door(make_door: MakeDoor) -> Door:
    """A door with the frame's own operations."""
    return await make_door()
