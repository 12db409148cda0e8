"""Requests that go wrong in the ways that requests do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
import time

def length(text):
    return len(text)

def blow_up(n):
    return "x" * 200_000

def rest(n=0):
    time.sleep(60)
"""
NDJSON = {"Content-Type": "application/x-ndjson"}
MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(server: Served) -> Served:
    await server.deploy("bad", SOURCE, "length", "blow_up", "rest", max_containers=2)
    return server


def memory_mib(served: Served) -> int:
    """What the server has in memory."""
    assert served.process is not None
    lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) >> 10


async def status_of(served: Served, call_id: str, wanted: set[str]) -> Any:
    """The call, once it has one of these states."""
    async with asyncio.timeout(60):
        while (call := (await served.ask("GET", f"/v1/function-calls/{call_id}?wait=1")).json)["status"] not in wanted:
            pass
    return call


async def test_lines_of_ten_megabytes(served: Served) -> None:
    async def upload() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b'{"args":["' + b"x" * 10_000_000 + b'"]}\n'

    before = memory_mib(served)
    path = "/v1/functions/bad:length/map?summary=true"
    answer = await served.ask("POST", path, data=upload(), headers=NDJSON)
    assert answer.text.count('"result":10000000') == 12, answer.text[:1000]
    assert memory_mib(served) - before < 100


async def test_a_line_above_the_limit_is_named(served: Served) -> None:
    async def upload() -> AsyncIterator[bytes]:
        yield b'{"args":["a"]}\n{"args":["'
        for _ in range(65):
            yield b"x" * MIB

    answer = await served.ask("POST", "/v1/functions/bad:length/map", data=upload(), headers=NDJSON)
    assert "Line 2 is above the limit of 64 MiB" in answer.text


async def test_a_client_that_hardly_reads_holds_up_nothing_but_itself(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1000)
    body = b"".join(b'{"args":[%d]}\n' % n for n in range(600))  # 120 MB come back
    writer.write(
        f"POST /v1/functions/bad:blow_up/map HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    before = memory_mib(served)
    head = ""
    while not head.endswith("\r\n\r\n"):
        head += (await asyncio.wait_for(reader.readline(), 20)).decode()
    call_id = next(line.split(": ")[1] for line in head.splitlines() if line.startswith("Yurt-Call-Id"))
    await reader.readexactly(100)
    call = await status_of(served, call_id, {"success"})
    assert call["counts"]["success"] == 600
    assert memory_mib(served) - before < 60
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_the_same_key_many_times_at_once_is_one_call(served: Served) -> None:
    for path in ("invocations", "spawn"):
        ask = {"body": {"args": ["abc"]}, "headers": {"Idempotency-Key": f"at-once-{path}"}}
        answers = await asyncio.gather(
            *(served.ask("POST", f"/v1/functions/bad:length/{path}", **ask) for _ in range(8))
        )
        assert {answer.status for answer in answers} == {202 if path == "spawn" else 200}
        assert len({answer.json["call_id"] for answer in answers}) == 1
        assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 7


@pytest.mark.parametrize("most", [-1, 11, 10**12, None, "forever"])
async def test_a_retry_policy_that_would_never_end(served: Served, most: object) -> None:
    definition = {
        "entrypoint": "main:length",
        "source": {"files": {"main.py": SOURCE}},
        "retries": {"max_retries": most, "initial_delay": 0},
    }
    answer = await served.ask("PUT", "/v1/apps/bad/functions/endless", definition)
    assert answer.status == 422, answer.text
    (error,) = answer.json["errors"]
    assert error["pointer"] == "/retries/max_retries"
    assert "retries have to end" in error["message"]


async def test_what_has_ended_cannot_be_cancelled_and_says_how_it_ended(served: Served) -> None:
    good, bad = await served.call("bad:length", "abc"), await served.call("bad:length", 5)
    whole = await served.ask("POST", "/v1/functions/bad:length/map?summary=true", {"inputs": [{"args": ["a"]}]})
    ended = {good["call_id"]: "success", bad["call_id"]: "failure", whole.headers["Yurt-Call-Id"]: "success"}
    for call_id, status in ended.items():
        answer = await served.ask("POST", f"/v1/function-calls/{call_id}/cancel")
        assert (answer.status, answer.json["code"], answer.json["status_of_call"]) == (409, "not_cancellable", status)
        assert status in answer.json["detail"]


async def test_what_runs_is_not_redriven_and_is_cancelled_as_often_as_one_likes(served: Served) -> None:
    call = (await served.ask("POST", "/v1/functions/bad:rest/spawn", {})).json
    inputs = {"inputs": [{"args": [n]} for n in range(3)]}
    options = {"headers": {"Prefer": "respond-async"}}
    whole = (await served.ask("POST", "/v1/functions/bad:rest/map", inputs, **options)).json
    for call_id in (call["call_id"], whole["call_id"]):
        path = f"/v1/function-calls/{call_id}"
        await status_of(served, call_id, {"running"})
        refused = await served.ask("POST", f"{path}/redrive")
        assert (refused.status, refused.json["code"]) == (409, "not_redrivable")
        assert refused.json["status_of_call"] == "running"
        answers = [await served.ask("POST", f"{path}/cancel") for _ in range(2)]
        assert [(one.status, one.json["status"]) for one in answers] == [(200, "terminated")] * 2
