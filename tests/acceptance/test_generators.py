"""Generators as their callers see them: items as they come, later, in part, and over everything that is killed."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.served import Served, serving
from tests.waiting import until
from yurt_runner import wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
import asyncio, os, time

def count(n):
    yield from range(n)

async def acount(n):
    for k in range(n):
        yield {"k": k}

def gated(gate, done=None):
    try:
        yield os.getpid()
        while not os.path.exists(gate):
            time.sleep(0.002)
        yield "after"
    finally:
        if done:
            open(done, "w").close()

def fails(n):
    yield from range(n)
    raise ValueError("no more")

def large(n, size):
    for k in range(n):
        yield "x" * size

def steps(path, size):
    for k in range(100_000):
        with open(path, "w") as file:
            file.write(str(k))
        yield "x" * size

def plain(a):
    return a
"""
NAMES = ("count", "acount", "gated", "fails", "large", "steps", "plain")
NDJSON = {"Accept": "application/x-ndjson"}
EVENTS = {"Accept": "text/event-stream"}


def lines(text: str) -> list[Any]:
    """The lines of an NDJSON answer."""
    return [json.loads(line) for line in text.splitlines() if line]


def events(text: str) -> list[tuple[str, str, Any]]:
    """Id, name and data of each event."""
    out = []
    for part in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
        if fields:
            out.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return out


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gen(server: Served) -> Served:
    """The server, with the functions."""
    await server.deploy("gen", SOURCE, *NAMES)
    return server


async def ask(server: Served, name: str, *args: object, headers: dict[str, str] | None = None) -> Any:
    return await server.ask("POST", f"/v1/functions/gen:{name}/invocations", {"args": args}, headers=headers or {})


@asynccontextmanager
async def reading(server: Served, name: str, *args: object, query: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
    """An invocation whose answer is read piece by piece."""
    headers = {"Authorization": f"Bearer {server.token}", **NDJSON}
    url = f"{server.url}/v1/functions/gen:{name}/invocations{query}"
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(url, json={"args": args}, headers=headers) as r,
    ):
        yield r


@pytest.mark.parametrize("name", ["count", "acount"])
async def test_items_come_as_lines_and_the_call_is_the_last(gen: Served, name: str) -> None:
    answer = await ask(gen, name, 3, headers=NDJSON)
    *items, call = lines(answer.text)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert items == [{"item": k if name == "count" else {"k": k}} for k in range(3)]
    assert (call["status"], call["num_items"], call["call_id"]) == ("success", 3, answer.headers["Yurt-Call-Id"])
    assert "result" not in call


async def test_items_come_as_events(gen: Served) -> None:
    answer = await ask(gen, "count", 2, headers=EVENTS)
    found = events(answer.text)
    assert [(name, data) for _, name, data in found[:-1]] == [("item", {"index": k, "item": k}) for k in range(2)]
    assert found[-1][1] == "end"
    assert found[-1][2]["num_items"] == 2


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/json, application/x-ndjson;q=0.5"])
async def test_asked_for_json_it_answers_the_list(gen: Served, accept: str) -> None:
    call = (await ask(gen, "count", 4, headers={"Accept": accept})).json
    assert (call["result"], call["num_items"]) == ([0, 1, 2, 3], 4)
    kept = (await gen.ask("GET", f"/v1/function-calls/{call['call_id']}")).json
    assert kept["result"] == [0, 1, 2, 3]
    assert (await ask(gen, "count", 0)).json["result"] == []


async def test_a_function_that_returns_is_one_line(gen: Served) -> None:
    (call,) = lines((await ask(gen, "plain", 7, headers=NDJSON)).text)
    assert call["result"] == 7


async def test_an_item_is_there_before_the_next_is_made(gen: Served, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with reading(gen, "gated", str(gate)) as answer:
        assert isinstance(json.loads(await answer.content.readline())["item"], int)
        gate.touch()
        assert json.loads(await answer.content.readline()) == {"item": "after"}
        assert json.loads(await answer.content.readline())["status"] == "success"


async def test_an_error_keeps_the_items_before_it(gen: Served) -> None:
    *items, call = lines((await ask(gen, "fails", 2, headers=NDJSON)).text)
    assert [line["item"] for line in items] == [0, 1]
    assert (call["status"], call["num_items"], call["error"]["message"]) == ("failure", 2, "no more")
    page = (await gen.ask("GET", f"/v1/function-calls/{call['call_id']}/outputs")).json
    assert page == {"data": [{"index": 0, "item": 0}, {"index": 1, "item": 1}]}


async def test_a_container_killed_after_an_item_fails_the_call(gen: Served, tmp_path: Path) -> None:
    async with reading(gen, "gated", str(tmp_path / "never")) as answer:
        os.kill(json.loads(await answer.content.readline())["item"], signal.SIGKILL)
        call = json.loads(await answer.content.readline())
    assert (call["status"], call["num_items"], call["attempts"]) == ("failure", 1, 1)
    assert call["error"]["type"] == "ContainerLost"


async def test_a_cancel_closes_the_generator(gen: Served, tmp_path: Path) -> None:
    done = tmp_path / "done"
    async with reading(gen, "gated", str(tmp_path / "never"), str(done)) as answer:
        await answer.content.readline()
        call_id = answer.headers["Yurt-Call-Id"]
        assert (await gen.ask("POST", f"/v1/function-calls/{call_id}/cancel")).status == 200
        call = json.loads(await answer.content.readline())
    assert (call["status"], call["num_items"]) == ("terminated", 1)
    await until(done.exists, "its finally")


async def test_a_caller_that_goes_away_can_cancel_it(gen: Served, tmp_path: Path) -> None:
    done = tmp_path / "done"
    query = "?cancel_on_disconnect=true"
    async with reading(gen, "gated", str(tmp_path / "never"), str(done), query=query) as answer:
        await answer.content.readline()
        answer.close()
    await until(done.exists, "its finally")


async def test_a_caller_that_does_not_read_holds_the_generator_back(gen: Served, tmp_path: Path) -> None:
    place = tmp_path / "place"
    size = 10_000
    async with reading(gen, "steps", str(place), size) as answer:
        await answer.content.readline()
        seen = -1
        while (now := int(place.read_text() or -1)) != seen:
            seen = now
            await asyncio.sleep(1)
        assert seen * size < 12 * wire.ITEM_WINDOW_BYTES, "what the window and the sockets on the way hold"
        for _ in range(seen + 100):
            await answer.content.readline()
        await until(lambda: int(place.read_text() or 0) > seen, "that it goes on")
        call_id = answer.headers["Yurt-Call-Id"]
        await gen.ask("POST", f"/v1/function-calls/{call_id}/cancel")


async def test_events_of_a_spawned_generator_are_resumed_by_id(gen: Served) -> None:
    call = (await gen.ask("POST", "/v1/functions/gen:count/spawn", {"args": [5]})).json
    path = f"/v1/function-calls/{call['call_id']}/events"
    found = events((await gen.ask("GET", path)).text)
    items = [(id_, data) for id_, name, data in found if name == "item"]
    assert [data for _, data in items] == [{"index": k, "item": k} for k in range(5)]
    assert found[-1][1] == "end"
    again = events((await gen.ask("GET", path, headers={"Last-Event-ID": items[2][0]})).text)
    assert [data["index"] for _, name, data in again if name == "item"] == [3, 4]
    assert (await gen.ask("GET", path, headers={"Last-Event-ID": "1-x"})).status == 422


async def test_outputs_are_read_page_by_page(gen: Served) -> None:
    call = (await gen.ask("POST", "/v1/functions/gen:count/spawn", {"args": [250]})).json
    path, seen, cursor = f"/v1/function-calls/{call['call_id']}/outputs?limit=100&wait=30", [], ""
    while True:
        page = (await gen.ask("GET", path + cursor)).json
        seen += [row["item"] for row in page["data"]]
        if "next_cursor" not in page:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == list(range(250))


async def test_who_waits_for_the_first_item_only_so_long_gets_the_call(gen: Served, tmp_path: Path) -> None:
    headers = {**NDJSON, "Prefer": "respond-async, wait=20"}
    (tmp_path / "gate").touch()
    quick = await ask(gen, "gated", str(tmp_path / "gate"), headers=headers)
    assert (quick.status, len(lines(quick.text))) == (200, 3)
    at_once = await ask(gen, "count", 3, headers={**NDJSON, "Prefer": "respond-async"})
    assert (at_once.status, at_once.json["call_id"]) == (202, at_once.headers["Yurt-Call-Id"])


async def test_the_same_key_joins_the_stream_from_its_first_item(gen: Served, tmp_path: Path) -> None:
    headers = {**NDJSON, "Idempotency-Key": "gated-once"}
    gate = tmp_path / "gate"
    first = asyncio.create_task(ask(gen, "gated", str(gate), headers=headers))
    second = asyncio.create_task(ask(gen, "gated", str(gate), headers=headers))
    gate.touch()
    one, other = lines((await first).text), lines((await second).text)
    assert one == other
    assert lines((await ask(gen, "gated", str(gate), headers=headers)).text) == one


async def test_a_list_above_its_limit_names_the_other_form(gen: Served) -> None:
    refused = await ask(gen, "large", 65, 1 << 20)
    assert (refused.status, refused.json["code"]) == (406, "list_too_large")
    assert "application/x-ndjson" in refused.json["detail"]
    calls = (await gen.ask("GET", "/v1/functions/gen:large/invocations")).json["data"]
    kept = (await gen.ask("GET", f"/v1/function-calls/{calls[0]['call_id']}")).json
    assert (kept["status"], kept["num_items"]) == ("success", 65)
    assert "result" not in kept
    assert "application/x-ndjson" in kept["result_omitted"]


async def test_what_a_generator_cannot_be_is_refused(gen: Served) -> None:
    body = {"entrypoint": "main:count", "source": {"files": {"main.py": SOURCE}}, "retries": 2}
    refused = await gen.ask("PUT", "/v1/apps/gen/functions/again", body)
    assert refused.status == 422
    assert [error["pointer"] for error in refused.json["errors"]] == ["/retries"]
    await ask(gen, "count", 1)
    mapped = await gen.ask("POST", "/v1/functions/gen:count/map", {"inputs": [{"args": [1]}]})
    assert (mapped.status, "call it once for each input" in mapped.json["detail"]) == (422, True)


async def test_a_generator_goes_on_over_the_death_of_the_server(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serving(tmp_path) as server:
        await server.deploy("gen", SOURCE, *NAMES)
        call = (await server.ask("POST", "/v1/functions/gen:gated/spawn", {"args": [str(gate)]})).json
        path = f"/v1/function-calls/{call['call_id']}"
        first = (await server.ask("GET", f"{path}/outputs?wait=30")).json["data"]
        await server.kill()
        await server.start()
        assert (await server.ask("GET", f"{path}/outputs")).json["data"] == first
        gate.touch()
        ended = (await server.ask("GET", f"{path}?wait=30")).json
    assert (ended["status"], ended["attempts"], ended["result"]) == ("success", 1, [first[0]["item"], "after"])
