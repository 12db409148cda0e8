"""Repeating what failed, through HTTP: maps, and all calls of a function."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.served import Answer, Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
import os

def picky(n, at):
    if n % 3 == 0 and not os.path.exists(at):
        raise ValueError(n)
    return n

def rest(n):
    import time
    time.sleep(60)
"""


async def ended(server: Served, call_id: str) -> Any:
    """The call, once it has ended."""
    async with asyncio.timeout(60):
        while True:
            found = (await server.ask("GET", f"/v1/function-calls/{call_id}?wait=20")).json
            if found["status"] not in {"pending", "running"}:
                return found


async def map_of(server: Served, address: str, inputs: list[list[object]], query: str = "") -> str:
    """A map that was accepted."""
    body, options = {"inputs": [{"args": one} for one in inputs]}, {"headers": {"Prefer": "respond-async"}}
    answer = await server.ask("POST", f"/v1/functions/{address}/map{query}", body, **options)
    assert answer.status == 202, answer.text
    return str(answer.json["call_id"])


async def redrive(server: Served, call_id: str) -> Answer:
    return await server.ask("POST", f"/v1/function-calls/{call_id}/redrive")


async def test_a_map_is_repeated_by_a_map_of_its_failed_inputs(server: Served, tmp_path: Path) -> None:
    now_good = tmp_path / "good"
    await server.deploy("maps", SOURCE, "picky")
    query = "?return_exceptions=true&metadata.job=a&priority=2"
    first = await map_of(server, "maps:picky", [[n, str(now_good)] for n in range(30)], query)
    assert (await ended(server, first))["counts"]["failure"] == 10
    now_good.touch()
    answer = await redrive(server, first)
    assert (answer.status, answer.json["redrive_of"], answer.json["num_inputs"]) == (202, first, 10)
    assert answer.headers["Location"] == f"/v1/function-calls/{answer.json['call_id']}"
    again = await ended(server, answer.json["call_id"])
    assert (again["kind"], again["status"], again["counts"]["success"]) == ("map", "success", 10)
    assert (again["redrive_of"], again["metadata"], again["priority"]) == (first, {"job": "a"}, 2)
    outputs = (await server.ask("GET", f"{answer.headers['Location']}/outputs")).json["data"]
    assert [row["result"] for row in outputs] == list(range(0, 30, 3))
    assert (await ended(server, first))["redriven_as"] == again["call_id"]
    well = await redrive(server, again["call_id"])
    assert (well.status, well.json["code"], well.json["status_of_call"]) == (409, "not_redrivable", "success")


async def test_a_running_map_is_not_redriven_and_a_cancelled_one_is(server: Served) -> None:
    await server.deploy("cancelled", SOURCE, "rest", max_containers=1)
    first = await map_of(server, "cancelled:rest", [[n] for n in range(5)])
    refused = await redrive(server, first)
    assert (refused.status, refused.json["code"]) == (409, "not_redrivable")
    await server.ask("POST", f"/v1/function-calls/{first}/cancel")
    await ended(server, first)
    again = (await redrive(server, first)).json
    assert again["num_inputs"] == 5
    await server.ask("POST", f"/v1/function-calls/{again['call_id']}/cancel")
    await server.ask("DELETE", "/v1/functions/cancelled:rest")
    gone = await redrive(server, first)
    assert (gone.status, gone.json["code"]) == (409, "app_stopped")


async def test_a_redrive_that_is_cut_by_a_kill_is_a_truncated_map(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.deploy("cut", SOURCE, "rest", max_containers=0)
        first = await map_of(server, "cut:rest", [[n] for n in range(20_000)])
        await server.ask("POST", f"/v1/function-calls/{first}/cancel")
        await ended(server, first)
        under_way = asyncio.create_task(redrive(server, first))
        async with asyncio.timeout(30):
            while not (found := (await ended(server, first)).get("redriven_as")):
                await asyncio.sleep(0)
        assert not under_way.done()
        await server.kill()
        await asyncio.gather(under_way, return_exceptions=True)
        await server.start()
        cut = (await server.ask("GET", f"/v1/function-calls/{found}")).json
        assert (cut["input_truncated"], cut["redrive_of"], cut["status"]) == (True, first, "pending")
        assert 0 < cut["num_inputs"] < 20_000
        whole = (await redrive(server, first)).json
        assert (whole["num_inputs"], "input_truncated" in whole) == (20_000, False)


async def test_the_failed_calls_of_a_function_are_repeated_once(server: Served, tmp_path: Path) -> None:
    now_good, path = tmp_path / "good", "/v1/functions/backlog:picky"
    await server.deploy("backlog", SOURCE, "picky")
    calls = [await server.call("backlog:picky", n, str(now_good)) for n in range(6)]
    failed_map = await map_of(server, "backlog:picky", [[0, str(now_good)]])
    await ended(server, failed_map)
    now_good.touch()
    none = await server.ask("POST", f"{path}/redrive", {"since": "1h", "outcomes": ["timeout"]})
    assert (none.status, none.json) == (200, {"redriven": 0, "call_ids": [], "maps_left": 0})
    told = (await server.ask("POST", f"{path}/redrive", {"since": "1h"})).json
    assert (told["redriven"], len(told["call_ids"]), told["maps_left"]) == (2, 2, 1)
    for old, new in zip((calls[0], calls[3]), told["call_ids"], strict=True):
        again = await ended(server, new)
        assert (again["status"], again["redrive_of"]) == ("success", old["call_id"])
        assert (await ended(server, old["call_id"]))["redriven_as"] == new
    again = await server.ask("POST", f"{path}/redrive", {"since": "1h"})
    assert again.json["redriven"] == 0
    assert (await redrive(server, failed_map)).status == 202
    assert (await server.ask("POST", f"{path}/redrive", {"since": "1h"})).json["maps_left"] == 0


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 422, "/since"),
        ({"since": "yesterday"}, 422, "/since"),
        ({"since": "1h", "outcomes": []}, 422, "/outcomes"),
        ({"since": "1h", "outcomes": ["timeuot"]}, 422, "/outcomes/0"),
        ({"since": "1h", "outcomes": ["success"]}, 422, "/outcomes/0"),
        ({"since": "1h", "outcomes": "timeout"}, 422, "/outcomes"),
        ({"since": "1h", "outcome": ["timeout"]}, 422, "/outcome"),
        (None, 400, None),
    ],
)
async def test_what_a_backlog_cannot_be_asked_for(
    server: Served, body: object, status: int, pointer: str | None
) -> None:
    await server.deploy("refused", SOURCE, "picky")
    answer = await server.ask("POST", "/v1/functions/refused:picky/redrive", body)
    assert answer.status == status, answer.text
    if pointer is not None:
        assert [one["pointer"] for one in answer.json["errors"]] == [pointer]


async def test_who_may_repeat(server: Served) -> None:
    await server.deploy("rights", SOURCE, "picky")
    await server.ask("PUT", "/v1/environments/staging")
    expected = {("read", "main"): 403, ("invoke", "staging"): 404, ("invoke", "main"): 200}
    for (role, environment), status in expected.items():
        made = await server.ask("POST", "/v1/tokens", {"name": role, "role": role, "environment": environment})
        headers = {"Authorization": f"Bearer {made.json['token_id']}:{made.json['token_secret']}"}
        path = "/v1/functions/rights:picky/redrive?environment=" + environment
        answer = await server.ask("POST", path, {"since": "1h"}, headers=headers)
        assert answer.status == status, answer.text
    nobody = await server.ask(
        "POST", "/v1/functions/rights:picky/redrive", {"since": "1h"}, headers={"Authorization": ""}
    )
    assert nobody.status == 401
