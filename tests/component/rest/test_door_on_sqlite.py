"""The frame's own operations on the durable store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.component.rest.conftest import HeldClock, MakeDoor
from yurt.domain.records import Role
from yurt.outbound.store import open_store
from yurt.ports import Store


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[Store]:
    store = await open_store(path, clock=HeldClock())
    try:
        yield store
    finally:
        await store.close()


async def test_tokens_and_environments_outlive_the_process(make_door: MakeDoor, tmp_path: Path) -> None:
    async with _opened(tmp_path) as store:
        door = await make_door(over=store)
        await door.ask("PUT", "/v1/environments/staging")
        kept = await door.token(Role.READ, "staging")
        gone = await door.token(Role.READ)
        await door.ask("DELETE", f"/v1/tokens/{gone.token.id}")

    async with _opened(tmp_path) as store:
        door = await make_door(over=store)
        listed = await door.ask("GET", "/v1/environments", token=kept)
        refused = await door.ask("GET", "/v1/environments", token=gone)
        await door.ask("DELETE", f"/v1/tokens/{kept.token.id}")
        revoked = await door.ask("GET", "/v1/environments", token=kept)

    assert [one["name"] for one in listed.json()["data"]] == ["staging"]
    assert (refused.status, revoked.status) == (401, 401)


async def test_lists_page_and_the_last_administrator_stays(make_door: MakeDoor, tmp_path: Path) -> None:
    async with _opened(tmp_path) as store:
        door = await make_door(over=store)
        for _ in range(4):
            door.clock.advance(1)
            await door.token(Role.DEPLOY)
        first = (await door.ask("GET", "/v1/tokens?limit=3")).json()
        rest = (await door.ask("GET", f"/v1/tokens?limit=3&cursor={first['next_cursor']}")).json()
        last = await door.ask("DELETE", f"/v1/tokens/{door.admin.token.id}")
        ready = await door.ask("GET", "/readyz")

    ids = [token["token_id"] for token in [*first["data"], *rest["data"]]]
    assert len(ids) == 5
    assert ids == sorted(ids, reverse=True)
    assert last.status == 409
    assert ready.json()["parts"]["store"]["ready"] is True


async def test_an_environment_that_is_made_again_is_the_same(make_door: MakeDoor, tmp_path: Path) -> None:
    async with _opened(tmp_path) as store:
        door = await make_door(over=store)
        made = [(await door.ask("PUT", "/v1/environments/x")).status for _ in range(2)]
        gone = await door.ask("DELETE", "/v1/environments/x")
        again = await door.ask("PUT", "/v1/environments/x")

    assert (made, gone.status, again.status) == ([201, 200], 204, 201)
