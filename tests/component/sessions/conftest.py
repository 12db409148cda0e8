"""The door for containers over a real heart, and containers that are played by the test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer, TestClient

from tests.component.pools.rig import Rig
from yurt.inbound.routes import Routes
from yurt.inbound.sessions.door import Plain, SessionDoor

Client = TestClient[web.BaseRequest, None]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A heart on an empty store."""
    rig = await Rig(tmp_path / "data").open()
    yield rig
    await rig.close()


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[Client]:
    """Dials the door."""
    routes: Routes[Plain] = Routes()
    for route in SessionDoor(rig.sessions, rig.lives).routes():
        routes.add(*route)

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        match = routes.find(request.method, request.path)
        assert match is not None
        return await match.handler(request, match.values)

    server = RawTestServer(serve)
    await server.start_server(shutdown_timeout=0.1)
    client: Client = TestClient(server)
    async with client:
        yield client
