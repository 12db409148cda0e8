"""Uploads that pause, break, or outlive the server; clients that do not read."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.served import Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
def double(n):
    return 2 * n

def large(n):
    return "x" * 10_000

def slow(n):
    import time
    time.sleep(0.1)
    return n
"""


class Wire:
    """One request by hand, its body in chunks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._lines = b""

    @classmethod
    async def open(cls, served: Served, name: str, query: str = "") -> "Wire":
        """Send the head."""
        wire = cls(*await asyncio.open_connection("127.0.0.1", served.port))
        head = (
            f"POST /v1/functions/demo:{name}/map{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n"
            "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        wire.writer.write(head.encode())
        return wire

    async def send(self, data: bytes) -> None:
        """Send some of the body; none ends it."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def head(self) -> str:
        """The call's id, from the head of the answer."""
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 200"), head
        return next(line.split(": ")[1] for line in head.splitlines() if line.startswith("Yurt-Call-Id"))

    async def lines(self, count: int) -> list[Any]:
        """So many lines of the answer."""
        found: list[Any] = []
        async with asyncio.timeout(60):
            while len(found) < count:
                while b"\n" not in self._lines:
                    size = int(await self.reader.readline(), 16)
                    assert size, f"the answer ended after {len(found)} lines"
                    self._lines += (await self.reader.readexactly(size + 2))[:-2]
                line, _, self._lines = self._lines.partition(b"\n")
                if line:
                    found.append(json.loads(line))
        return found

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(server: Served) -> Served:
    await server.deploy("demo", SOURCE, "double", "large", "slow", max_containers=2)
    return server


async def call_of(served: Served, call_id: str) -> Any:
    """The call, once it has ended."""
    async with asyncio.timeout(60):
        while True:
            call = (await served.ask("GET", f"/v1/function-calls/{call_id}?wait=20")).json
            if call["status"] not in {"pending", "running"}:
                return call


async def test_results_come_while_the_upload_goes_on(served: Served) -> None:
    wire = await Wire.open(served, "double", "?summary=true")
    await wire.send(b'{"args":[1]}\n{"arg')
    await wire.head()
    assert (await wire.lines(1))[0]["result"] == 2
    await wire.send(b's":[2]}\n\n')
    assert (await wire.lines(1))[0] == {"index": 1, "status": "success", "result": 4}
    await wire.send(b'{"args":[3]}')
    await wire.send(b"")
    last, summary = await wire.lines(2)
    assert (last["result"], summary["summary"]["num_inputs"]) == (6, 3)
    await wire.close()


async def test_a_client_may_read_nothing_until_its_upload_ends(served: Served) -> None:
    wire = await Wire.open(served, "large")
    for start in range(0, 3000, 100):
        await wire.send(b"".join(b'{"args":[%d]}\n' % n for n in range(start, start + 100)))
    await wire.send(b"")
    call_id = await wire.head()
    call = await call_of(served, call_id)
    assert call["counts"]["success"] == 3000
    assert [row["index"] for row in await wire.lines(3000)] == list(range(3000))
    await wire.close()


async def test_a_lost_connection_cancels_nothing(served: Served) -> None:
    wire = await Wire.open(served, "slow")
    await wire.send(b"".join(b'{"args":[%d]}\n' % n for n in range(20)))
    await wire.send(b"")
    call_id = await wire.head()
    await wire.lines(1)
    await wire.close()
    call = await call_of(served, call_id)
    assert (call["status"], call["counts"]["success"]) == ("success", 20)
    assert "input_truncated" not in call
    page = (await served.ask("GET", f"/v1/function-calls/{call_id}/outputs?index=1")).json
    assert [row["result"] for row in page["data"]] == list(range(1, 20))


async def test_a_cut_upload_keeps_what_came(served: Served) -> None:
    wire = await Wire.open(served, "double")
    await wire.send(b'{"args":[1]}\n{"args":[2]}\n{"args":[')
    call_id = await wire.head()
    await wire.close()
    call = await call_of(served, call_id)
    assert (call["status"], call["num_inputs"], call["input_truncated"]) == ("success", 2, True)


async def test_a_killed_server_seals_the_upload(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.deploy("demo", SOURCE, "slow", max_containers=2)
        wire = await Wire.open(served, "slow")
        await wire.send(b"".join(b'{"args":[%d]}\n' % n for n in range(30)))
        call_id = await wire.head()
        await wire.lines(2)
        await served.kill()
        await wire.close()
        await served.start()
        call = await call_of(served, call_id)
        assert (call["status"], call["num_inputs"], call["input_truncated"]) == ("success", 30, True)
        page = (await served.ask("GET", f"/v1/function-calls/{call_id}/outputs")).json
        assert [row["result"] for row in page["data"]] == list(range(30))


async def test_a_function_that_goes_takes_its_maps_along(served: Served) -> None:
    await served.deploy("leaving", SOURCE, "slow", max_containers=1)
    inputs = {"inputs": [{"args": [n]} for n in range(200)]}
    options = {"headers": {"Prefer": "respond-async"}}
    call = (await served.ask("POST", "/v1/functions/leaving:slow/map", inputs, **options)).json
    await served.ask("DELETE", "/v1/functions/leaving:slow")
    ended = await call_of(served, call["call_id"])
    assert (ended["status"], ended["error"]["by"]) == ("terminated", "function_deleted")
    assert ended["counts"]["success"] + ended["counts"]["terminated"] == 200


async def test_a_cancel_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.deploy("demo", "import time\ndef rest(n):\n    time.sleep(60)\n", "rest", max_containers=1)
        inputs = {"inputs": [{"args": [n]} for n in range(20_000)]}
        options = {"headers": {"Prefer": "respond-async"}}
        call = (await served.ask("POST", "/v1/functions/demo:rest/map", inputs, **options)).json
        path = f"/v1/function-calls/{call['call_id']}"
        cancelling = asyncio.create_task(served.ask("POST", f"{path}/cancel"))
        async with asyncio.timeout(60):
            while not (await served.ask("GET", path)).json["counts"]["terminated"]:
                await asyncio.sleep(0)
        await served.kill()
        await asyncio.gather(cancelling, return_exceptions=True)
        await served.start()
        ended = await call_of(served, call["call_id"])
        assert (ended["status"], ended["counts"]["terminated"]) == ("terminated", 20_000)
