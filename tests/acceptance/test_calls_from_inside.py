"""Functions that call functions of their own app, from inside, with what their container was given."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.served import Served, command, serving

SOURCE = """
import json, os, time, urllib.error, urllib.request

def ask(method, path, body=None):
    request = urllib.request.Request(os.environ["YURT_URL"] + path, method=method)
    request.add_header("Authorization", "Bearer " + os.environ["YURT_TOKEN"])
    request.add_header("Content-Type", "application/json")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=30) as answer:
            return [answer.status, json.loads(answer.read() or b"null")]
    except urllib.error.HTTPError as error:
        return [error.code, json.loads(error.read() or b"null")]

def double(n):
    return 2 * n

def quadruple(n):
    return ask("POST", "/v1/functions/app:double/invocations", {"args": [double(n)]})[1]["result"]

def pids():
    return [os.getppid(), os.getpid()]

def token():
    return os.environ.get("YURT_TOKEN")

def waits_for_itself():
    call_id = ask("POST", "/v1/functions/app:waits_for_itself/spawn", {})[1]["call_id"]
    for _ in range(100):
        call = ask("GET", "/v1/function-calls/" + call_id)[1]
        if call["pending_reason"]["code"] == "max_containers":
            ask("POST", "/v1/function-calls/" + call_id + "/cancel")
            return call["pending_reason"]
        time.sleep(0.05)

def slowly():
    time.sleep(2)
    while True:
        try:
            return quadruple(1)
        except (OSError, KeyError):  # the server is away, or starts
            time.sleep(0.05)
"""
NAMES = ("double", "quadruple", "pids", "token", "ask", "waits_for_itself", "slowly")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


async def inside(server: Served, method: str, path: str, body: object = None) -> tuple[int, Any]:
    status, answer = (await server.call("app:ask", method, path, body))["result"]
    return status, answer


async def test_a_function_calls_its_neighbour(server: Served) -> None:
    await server.deploy("app", SOURCE, *NAMES, may_call=["self_app"])
    await server.deploy("plain", SOURCE, "token")
    assert (await server.call("app:quadruple", 3))["result"] == 12
    assert (await server.call("plain:token"))["result"] is None
    status, call = await inside(server, "POST", "/v1/functions/app:double/spawn", {"args": [2]})
    assert status == 202
    status, call = await inside(server, "GET", f"/v1/function-calls/{call['call_id']}?wait=10")
    assert (status, call["result"]) == (200, 4)


async def test_its_token_reaches_nothing_but_its_app(server: Served) -> None:
    await server.deploy("app", SOURCE, *NAMES, may_call=["self_app"])
    await server.deploy("other", SOURCE, "double")
    other = (await server.ask("POST", "/v1/functions/other:double/spawn", {"args": [1]})).json
    function_id = other["function_id"]
    for path in ("other:double/invocations", "other:double/spawn", "other:double/map", f"{function_id}/spawn"):
        body = {"inputs": [{"args": [1]}]} if path.endswith("map") else {"args": [1]}
        status, problem = await inside(server, "POST", f"/v1/functions/{path}", body)
        assert status == 404, path
        assert "the app of this container; it can call no other" in problem["detail"]
    for what in ("", "/outputs", "/events"):
        assert (await inside(server, "GET", f"/v1/function-calls/{other['call_id']}{what}"))[0] == 404, what
    assert (await inside(server, "POST", f"/v1/function-calls/{other['call_id']}/cancel"))[0] == 404
    for method, path in (
        ("GET", "/v1/apps"),
        ("GET", "/v1/apps/app"),
        ("GET", "/v1/functions/app:double"),
        ("GET", "/v1/function-calls"),
        ("GET", "/v1/containers"),
        ("GET", "/v1/environments"),
        ("GET", "/v1/tokens"),
        ("GET", "/v1/secrets"),
        ("GET", "/v1/schedules"),
        ("GET", "/v1/capacity"),
        ("GET", "/metrics"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/apps/app"),
    ):
        status, problem = await inside(server, method, path, {} if method == "POST" else None)
        assert status == 403, path
        assert "token of a container" in problem["detail"]


async def test_its_token_dies_with_the_container_and_lives_through_a_restart(server: Served) -> None:
    await server.deploy("app", SOURCE, *NAMES, may_call=["self_app"])
    token = (await server.call("app:token"))["result"]
    headers = {"Authorization": f"Bearer {token}"}

    async def status() -> int:
        answer = await server.ask("POST", "/v1/functions/app:double/invocations", {"args": [1]}, headers=headers)
        return answer.status

    assert await status() == 200
    running = (await server.ask("POST", "/v1/functions/app:slowly/spawn", {})).json["call_id"]
    async with asyncio.timeout(20):
        while (await server.ask("GET", f"/v1/function-calls/{running}")).json["status"] != "running":
            await asyncio.sleep(0.02)
    await server.kill()
    await server.start()
    assert await status() == 200
    ended = (await server.ask("GET", f"/v1/function-calls/{running}?wait=30")).json
    assert (ended.get("result"), ended["attempts"]) == (4, 1), str(ended.get("error"))

    container_id = token.partition(":")[0]
    assert (await server.ask("DELETE", f"/v1/containers/{container_id}")).status == 204
    async with asyncio.timeout(30):
        while await status() == 200:
            await asyncio.sleep(0.05)
    assert await status() == 401
    for wrong in (f"{container_id}:x", token[:-1] + "AB", token.replace(container_id, "co-" + "0" * 26)):
        headers["Authorization"] = f"Bearer {wrong}"
        assert await status() == 401


async def test_its_token_stands_nowhere_but_in_the_worker(server: Served) -> None:
    await server.deploy("app", SOURCE, *NAMES, may_call=["self_app"])
    await server.call("app:quadruple", 1)
    supervisor, worker = (await server.call("app:pids"))["result"]
    listed = (await server.ask("GET", "/v1/tokens")).text
    (container,) = [
        one["container_id"]
        for one in (await server.ask("GET", "/v1/containers?state=ready")).json["data"]
        if one["function"] == "app:quadruple"
    ]
    environment = psutil.Process(worker).environ()
    assert "YURT_TOKEN" not in environment
    assert "YURT_TOKEN" not in psutil.Process(supervisor).environ()
    assert container not in listed
    secret = (await server.call("app:token"))["result"].partition(":")[2]
    files = [path for path in server.data.rglob("*") if path.is_file() and path.name != "yurt.db"]
    holds = [path.name for path in files if secret.encode() in path.read_bytes()]
    assert all(name.startswith("yurt.db") for name in holds)  # it was a result, which is stored
    assert secret not in server.output


async def test_a_pool_that_waits_for_itself_says_why(server: Served) -> None:
    await server.deploy("app", SOURCE, *NAMES, may_call=["self_app"], max_containers=1)
    reason = (await server.call("app:waits_for_itself"))["result"]
    assert reason["code"] == "max_containers"
    assert "app:waits_for_itself runs 1 of at most 1 containers, and all are busy." in reason["message"]


async def test_only_its_own_app_can_be_named(server: Served) -> None:
    await server.ask("POST", "/v1/apps", {"name": "app"})
    twice = ["self_app", "self_app"]
    for value, pointer in ((["other"], "/may_call/0"), ("self_app", "/may_call"), (twice, "/may_call")):
        definition = {"entrypoint": "main:double", "source": {"files": {"main.py": SOURCE}}, "may_call": value}
        answer = await server.ask("PUT", "/v1/apps/app/functions/double", definition)
        assert answer.status == 422
        assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


async def test_the_example_calls_its_neighbour(server: Served) -> None:
    folder = Path(__file__).parents[2] / "examples" / "neighbours"
    deployed = await command("deploy", folder, "--url", server.url, "--token", server.token)
    assert deployed.code == 0, deployed.err
    report = (await server.call("neighbours:report", ["one two", "three", ""]))["result"]
    assert report == {"texts": 3, "words": 3, "longest": 2}
