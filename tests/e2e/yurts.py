"""A server on a cluster of the real programs, and its users."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from scripts.stack.stack import Stack
from tests.acceptance.served import Served

HAPPENS_S = 120
PAUSE_S = 0.05

SOURCE = """
import os, time


def where(number=0):
    return {"number": number, "container": os.environ["YURT_CONTAINER_ID"], "allocation": os.environ["NOMAD_ALLOC_ID"]}


def rest(seconds):
    time.sleep(seconds)
    return where(seconds)


def gpus():
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
"""


SITE = """
import os


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": os.environ["YURT_CONTAINER_ID"].encode()})
"""


def on(stack: Stack, place: Path, *flags: str) -> Served:
    """A server for this cluster, not started yet."""
    return Served(place, ("--engine", "nomad", *flags), {**stack.environment(), "NOMAD_TOKEN": ""})


@asynccontextmanager
async def serving_on(stack: Stack, place: Path, *flags: str) -> AsyncIterator[Served]:
    """A server for this cluster; what it made there is gone at the end."""
    served = on(stack, place, *flags)
    try:
        yield await served.start()
    finally:
        await served.close()
        purge(stack)


def purge(stack: Stack) -> None:
    """Remove every job of every Yurt."""
    for job in stack.nomad("GET", "/v1/jobs?prefix=yurt-"):
        stack.nomad("DELETE", f"/v1/job/{quote(job['ID'], safe='')}?purge=true")


def node_of(stack: Stack, allocation_id: str) -> str:
    """The name of the node that an allocation is on."""
    return str(stack.nomad("GET", f"/v1/allocation/{allocation_id}")["NodeName"])


async def put_site(served: Served, revision: str, **keys: object) -> None:
    """Deploy the app `pages`, whose endpoint `site--pages` answers with the id of its container."""
    definition = {
        "kind": "asgi",
        "entrypoint": "main:app",
        "source": {"files": {"main.py": SITE + f"\n# {revision}\n"}},
        **keys,
    }
    await served.ask("POST", "/v1/apps", {"name": "pages"})
    answer = await served.ask("PUT", "/v1/apps/pages/functions", {"functions": {"site": definition}})
    assert answer.status == 200, answer.text


async def spawn(served: Served, address: str, *args: object) -> str:
    """Begin a call; its id."""
    answer = await served.ask("POST", f"/v1/functions/{address}/spawn", {"args": args})
    assert answer.status == 202, answer.text
    return str(answer.json["call_id"])


async def call_when(
    served: Served, call_id: str, holds: Callable[[Any], object], what: str, within_s: float = HAPPENS_S
) -> Any:
    """A call, once it is as wanted."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                call = (await served.ask("GET", f"/v1/function-calls/{call_id}")).json
                if holds(call):
                    return call
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise AssertionError(f"the call is not {what}: {call}\n{served.output[-3000:]}") from None


async def waits_for(served: Served, call_id: str, *codes: str, within_s: float = HAPPENS_S) -> Any:
    """Its reason to wait, once that is one of these."""

    def holds(call: Any) -> bool:
        return (call.get("pending_reason") or {}).get("code") in codes

    call = await call_when(served, call_id, holds, f"waiting for {codes}", within_s)
    return call["pending_reason"]


async def runs(served: Served, call_id: str, within_s: float = HAPPENS_S) -> Any:
    """Return once it runs."""
    return await call_when(served, call_id, lambda call: call["status"] == "running", "running", within_s)


async def result_of(served: Served, call_id: str) -> Any:
    """What it returned, once it did."""
    call = await call_when(served, call_id, lambda call: call["status"] not in {"pending", "running"}, "at its end")
    assert call["status"] == "success", call
    return call["result"]


class Load:
    """Calls a warm function over and over, as long as the block runs. Every call must succeed."""

    def __init__(self, served: Served, address: str) -> None:
        self._served = served
        self._address = address
        self.results: list[Any] = []
        self._task: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        while True:
            call = await self._served.call(self._address, len(self.results))
            assert call["status"] == "success", call
            assert call["result"]["number"] == len(self.results)
            self.results.append(call["result"])
            await asyncio.sleep(PAUSE_S)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            return

    async def more(self, count: int = 5) -> None:
        """Return once so many further calls have succeeded."""
        assert self._task is not None
        wanted = len(self.results) + count
        async with asyncio.timeout(HAPPENS_S):
            while len(self.results) < wanted and not self._task.done():
                await asyncio.sleep(PAUSE_S)
        if self._task.done():
            self._task.result()
