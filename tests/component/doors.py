"""A REST door that is served, with a token for each of its users."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from aiohttp.test_utils import RawTestServer, TestClient

from yurt.domain.records import Role
from yurt.inbound.rest.context import Services
from yurt.inbound.rest.door import Door as RestDoor
from yurt.inbound.rest.operations import Operation
from yurt.logging import RequestLog
from yurt.usecases.principals import Principal
from yurt.usecases.tokens import Tokens

MAKER = Principal("tk-test", Role.ADMIN, None)
"""Whoever makes the tokens."""


@dataclass
class Answered:
    """An answer, read whole."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Door:
    """A served door; `ask` speaks as the administrator unless told otherwise, and by nobody's name for ""."""

    client: TestClient[Any, Any]
    tokens: dict[str, str]
    lines: list[str]

    async def ask(self, method: str, path: str, body: object = None, *, by: str = "root", **options: Any) -> Answered:
        headers = {"Authorization": f"Bearer {self.tokens[by]}"} if by else {}
        headers |= options.pop("headers", {})
        if body is not None:
            options["json"] = body
        async with self.client.request(method, path, headers=headers, **options) as response:
            return Answered(response.status, response.headers, await response.text())


@asynccontextmanager
async def served(
    services: object, tokens: Tokens, operations: Sequence[Operation], users: Mapping[str, tuple[Role, str | None]]
) -> AsyncIterator[Door]:
    """A door with these operations, for users with a role and perhaps an environment each."""
    lines: list[str] = []
    log = RequestLog(lines.append)
    running = asyncio.create_task(log.run(), name="request-log")
    rest = RestDoor(cast("Services", services), log, operations=tuple(operations))
    client: TestClient[Any, Any] = TestClient(RawTestServer(rest, access_log=None))
    await client.start_server()
    made = {}
    for name, (role, environment) in users.items():
        new = await tokens.create(MAKER, name=name, role=role, environment=environment)
        made[name] = f"{new.token.id}:{new.secret}"
    yield Door(client, made, lines)
    await client.close()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
