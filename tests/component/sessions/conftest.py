"""The door for containers over a real heart, and containers that are played by the test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.component.pools.rig import Rig
from yurt.inbound.sessions.door import SessionDoor

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A heart on an empty store."""
    rig = await Rig(tmp_path / "data").open()
    yield rig
    await rig.close()


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[Client]:
    """Dials the door."""
    app = web.Application()
    app.add_routes(SessionDoor(rig.sessions, rig.lives).routes())
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.1)
    client: Client = TestClient(server)
    async with client:
        yield client
