"""Large bodies share what memory is kept for them; who does not fit waits unread."""

import asyncio
import io
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from tests.component.rest.conftest import Door, MakeDoor
from tests.waiting import until
from yurt.domain.records import Role
from yurt.inbound.rest import room
from yurt.inbound.rest.answers import json_answer
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.door import LARGE_AT_ONCE
from yurt.inbound.rest.operations import Answer, Operation, RawJsonBody

LIMIT = 2 << 20
LARGE = b'"' + b"x" * (LIMIT - 2) + b'"'


class Held:
    """An operation that keeps what it was sent until it is told to let go."""

    def __init__(self) -> None:
        self.inside = 0
        self.open = asyncio.Event()

    async def keep(self, ctx: Context[None, bytes]) -> web.StreamResponse:
        self.inside += 1
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return json_answer(200, {"size": len(ctx.body)})


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
async def door(make_door: MakeDoor, held: Held) -> Door:
    keep = Operation(
        method="POST",
        path="/keep",
        operation_id="keep",
        tag="Test",
        summary="",
        role=Role.READ,
        handler=held.keep,
        answers=(Answer(200, ""),),
        body=RawJsonBody({}, empty="Send something."),
    )
    return await make_door((keep,), body_limit_bytes=LIMIT)


async def _send(door: Door, data: Any = None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {door.admin.token.id}:{door.admin.secret}", "Content-Type": "application/json"}
    async with door.client.post("/keep", data=data or io.BytesIO(LARGE), headers=headers) as response:
        return response.status, await response.json()


async def _in_pieces() -> Any:
    for start in range(0, len(LARGE), 1 << 18):
        yield LARGE[start : start + (1 << 18)]


@pytest.mark.parametrize("announced", [True, False])
async def test_more_than_fit_wait_their_turn(door: Door, held: Held, announced: bool) -> None:
    tasks = [asyncio.create_task(_send(door, None if announced else _in_pieces())) for _ in range(LARGE_AT_ONCE + 2)]
    await until(lambda: held.inside == LARGE_AT_ONCE, "as many as fit")
    small = asyncio.create_task(_send(door, b"1"))
    await until(lambda: held.inside == LARGE_AT_ONCE + 1, "a small one, which needs no room")
    held.open.set()
    assert [status for status, _ in await asyncio.gather(*tasks, small)] == [200] * (LARGE_AT_ONCE + 3)


async def test_who_leaves_makes_room(door: Door, held: Held) -> None:
    tasks = [asyncio.create_task(_send(door)) for _ in range(LARGE_AT_ONCE)]
    await until(lambda: held.inside == LARGE_AT_ONCE, "as many as fit")
    waits, next_one = asyncio.create_task(_send(door)), asyncio.create_task(_send(door))
    for task in (waits, tasks.pop()):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    held.open.set()
    assert [status for status, _ in await asyncio.gather(*tasks, next_one)] == [200] * LARGE_AT_ONCE


async def test_who_waits_too_long_is_asked_to_come_again(
    door: Door, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "WAIT_S", 0.05)
    tasks = [asyncio.create_task(_send(door)) for _ in range(LARGE_AT_ONCE)]
    await until(lambda: held.inside == LARGE_AT_ONCE, "as many as fit")
    status, problem = await _send(door)
    assert (status, problem["code"], problem["retryable"]) == (503, "too_much_at_once", True)
    held.open.set()
    await asyncio.gather(*tasks)
    assert (await _send(door))[0] == 200
