"""Requests while containers come and go: none is lost."""

import asyncio
import time
from collections import Counter
from typing import Any, Self

import aiohttp
import psutil
import pytest

from tests.acceptance.served import Served
from tests.acceptance.web.test_apps import deploy

APP = """
import asyncio, os

REVISION = {revision}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise ValueError("not for this app")
    if scope["path"].endswith("/die"):
        os._exit(3)
    await asyncio.sleep(0.02)
    body = f"{{REVISION}} {{os.getpid()}}".encode()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})
"""


class Load:
    """Clients that ask again and again; what they were answered."""

    def __init__(self, url: str, clients: int) -> None:
        self.url, self.clients = url, clients
        self.answers: Counter[tuple[int, str]] = Counter()
        self.broken: list[str] = []
        self._stop = asyncio.Event()

    @property
    def revisions(self) -> set[str]:
        return {body.split()[0] for status, body in self.answers if status == 200}

    async def _ask(self, http: aiohttp.ClientSession) -> None:
        while not self._stop.is_set():
            try:
                async with http.get(self.url) as answer:
                    self.answers[answer.status, (await answer.text())[:200]] += 1
            except aiohttp.ClientError as error:
                self.broken.append(repr(error))

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._tasks = [asyncio.create_task(self._ask(self._http)) for _ in range(self.clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._http.close()

    def only_good(self) -> None:
        assert self.broken == []
        assert {status for status, _ in self.answers} == {200}, self.answers


async def put(server: Served, app: str, source: str, **keys: Any) -> dict[str, Any]:
    definition = {"entrypoint": "main:app", "source": {"files": {"main.py": source}}, "kind": "asgi", **keys}
    found = await server.ask("PUT", f"/v1/apps/{app}/functions/web", definition)
    assert found.status in {200, 201}, found.text
    shown: dict[str, Any] = found.json
    return shown


async def containers(server: Served, function_id: str) -> list[dict[str, Any]]:
    listed = await server.ask("GET", f"/v1/containers?state=ready&function_id={function_id}")
    found: list[dict[str, Any]] = listed.json["data"]
    return found


async def wait_for(what: str, check: Any, within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while not await check():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_redeploy_under_load_loses_no_request(server: Served) -> None:
    shown = await deploy(server, "again", APP.format(revision=1), "main:app", kind="asgi", max_containers=2)
    async with Load(f"{server.url}/web/web--again/", 6) as load:
        for revision in (1, 2, 3):
            if revision > 1:
                await put(server, "again", APP.format(revision=revision), max_containers=2)

            async def served(wanted: str = str(revision)) -> bool:
                return wanted in load.revisions

            await wait_for(f"revision {revision} answers", served)

        async def only_new() -> bool:
            found = await server.ask("GET", f"/v1/containers?function_id={shown['function_id']}")
            return all(one["revision"] == 3 for one in found.json["data"] if one["state"] != "ended")

        await wait_for("the older ones have ended", only_new)
    load.only_good()
    assert load.revisions == {"1", "2", "3"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_container_that_is_ended_under_load_finishes_what_it_has(server: Served) -> None:
    shown = await deploy(server, "ended", APP.format(revision=1), "main:app", kind="asgi", max_containers=3)
    async with Load(f"{server.url}/web/web--ended/", 6) as load:

        async def all_there() -> bool:
            return len(await containers(server, shown["function_id"])) == 3

        for _ in range(2):
            await wait_for("all containers serve", all_there)
            first = (await containers(server, shown["function_id"]))[0]["container_id"]
            assert (await server.ask("DELETE", f"/v1/containers/{first}")).status in {200, 202, 204}

            async def is_gone(one: str = first) -> bool:
                return one not in [found["container_id"] for found in await containers(server, shown["function_id"])]

            await wait_for("it has left", is_gone)
    load.only_good()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_container_that_dies_under_load_costs_nothing_that_can_be_asked_again(server: Served) -> None:
    shown = await deploy(server, "dies", APP.format(revision=1), "main:app", kind="asgi", max_containers=2)
    url = f"{server.url}/web/web--dies/"
    async with Load(url, 4) as load:

        async def both() -> bool:
            return len({body for status, body in load.answers if status == 200}) >= 2

        await wait_for("two containers answer", both)
        pids = {int(body.split()[1]) for status, body in load.answers if status == 200}
        psutil.Process(min(pids)).kill()

        async def others() -> bool:
            return len({body for status, body in load.answers if status == 200}) >= 3

        await wait_for("another one has taken its place", others)
    load.only_good()
    assert (await server.ask("GET", f"/v1/functions/{shown['function_id']}/stats")).status == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_from_zero_requests_wait_and_the_pool_grows_and_shrinks_by_what_is_in_flight(server: Served) -> None:
    keys = {"max_containers": 3, "scaledown_window": 2}
    shown = await deploy(server, "zero", APP.format(revision=1), "main:app", kind="asgi", **keys)
    async with Load(f"{server.url}/web/web--zero/", 8) as load:

        async def all_there() -> bool:
            return len(await containers(server, shown["function_id"])) == 3

        await wait_for("the pool has grown", all_there)
        stats = (await server.ask("GET", f"/v1/functions/{shown['function_id']}/stats")).json
        assert stats["running_inputs"] + stats["backlog"] > 0
    load.only_good()

    async def none() -> bool:
        return not await containers(server, shown["function_id"])

    await wait_for("the pool has shrunk to zero", none)
    assert (await server.ask("GET", "/web/web--zero/")).status == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_an_app_that_is_stopped_answers_no_more(server: Served) -> None:
    await deploy(server, "stop", APP.format(revision=1), "main:app", kind="asgi", label="stopped")
    assert (await server.ask("GET", "/web/stopped/")).status == 200
    assert (await server.ask("DELETE", "/v1/apps/stop")).status == 204
    assert (await server.ask("GET", "/web/stopped/")).status == 404
    again = await deploy(server, "other", APP.format(revision=1), "main:app", kind="asgi", label="stopped")
    assert again["web_urls"][1].endswith("/web/stopped/"), "the label is free again"


@pytest.mark.asyncio(loop_scope="module")
async def test_an_app_that_does_not_start_says_so_without_its_reasons(server: Served) -> None:
    await deploy(server, "breaks", "raise ValueError('a secret')\napp = None\n", "main:app", kind="asgi")
    answer = await server.ask("GET", "/web/web--breaks/")
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert "secret" not in answer.text
    shown = (await server.ask("GET", "/v1/functions/breaks:web")).json
    assert "a secret" in shown["deploy_error"]["message"]


@pytest.mark.asyncio(loop_scope="module")
async def test_callers_with_a_token_alone_and_their_token_goes_no_further(server: Served) -> None:
    source = """
async def app(scope, receive, send):
    names = [name.decode() for name, _ in scope["headers"]]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ",".join(names).encode()})
"""
    await deploy(server, "closed", source, "main:app", kind="asgi", requires_auth=True)
    async with aiohttp.ClientSession() as http:
        url = f"{server.url}/web/web--closed/"
        async with http.get(url) as nobody:
            assert nobody.status == 401
            assert len(nobody.headers.getall("WWW-Authenticate")) == 2
        async with http.get(url, headers={"Authorization": "Bearer tk-00000000000000000000000000:x"}) as wrong:
            assert wrong.status == 401
        read = (await server.ask("POST", "/v1/tokens", {"name": "r", "role": "read"})).json
        key = {"Authorization": f"Bearer {read['token_id']}:{read['token_secret']}"}
        async with http.get(url, headers=key) as narrow:
            assert narrow.status == 403
        both = {"Yurt-Authorization": f"Bearer {server.token}", "Authorization": "the app's own"}
        async with http.get(url, headers=both) as let_in:
            names = (await let_in.text()).split(",")
            assert (let_in.status, "authorization" in names, "yurt-authorization" in names) == (200, True, False)
    plain = await server.ask("GET", "/web/web--closed/")
    assert (plain.status, "authorization" in plain.text.split(",")) == (200, False)
