"""`yurt store copy`: a server that ran on SQLite goes on in PostgreSQL."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.acceptance.served import Served, command, serving
from tests.postgres import PostgresServer

SOURCE = """
import time

def long(text):
    return text * 1000

def nap(number):
    time.sleep(1)
    return number
"""
LARGE = "yurt" * 100
"""Above 256 KiB when it comes back: a blob."""


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(postgres.database())


async def spawn(server: Served, number: int, **keys: object) -> str:
    made = await server.ask("POST", "/v1/functions/app:nap/spawn", {"args": [number], **keys})
    assert made.status == 202, made.text
    return str(made.json["call_id"])


async def test_a_server_goes_on_in_postgresql(tmp_path: Path, url: str) -> None:
    key = {"Idempotency-Key": "one"}
    path = "/v1/functions/app:long/invocations"
    async with serving(tmp_path) as server:
        await server.deploy("app", SOURCE, "long", "nap", max_containers=1)
        large = await server.ask("POST", path, {"args": [LARGE]}, headers=key)
        token = await server.ask("POST", "/v1/tokens", {"name": "ci", "role": "invoke"})
        running = await command("store", "copy", "--data-dir", server.data, "--to", url)
        assert running.code == 1
        assert "Stop it, then run this again" in running.err
        delayed = await spawn(server, 10, delay=3)
        pending = await asyncio.gather(*(spawn(server, number) for number in range(10)))
        await server.kill()  # its container lives on, and is taken over by the next life

        done = await command("store", "copy", "--json", "--data-dir", server.data, "--to", url)
        assert done.code == 0, done.err
        facts = json.loads(done.out)
        assert facts["rows"]["calls"] == 12
        assert facts["rows"]["pending"] > 0
        assert "calls" in done.err

        process = await server.launch()
        async with asyncio.timeout(60):
            assert await process.wait() == 1
        assert f"belongs to a store in PostgreSQL (installation {facts['installation']})" in server.output

        server.flags = ("--store", url)
        await server.start()  # on its port, where the container looks for it

        kept = await server.ask("GET", f"/v1/function-calls/{large.json['call_id']}")
        assert kept.json["result"] == LARGE * 1000
        again = await server.ask("POST", path, {"args": [LARGE]}, headers=key)
        assert again.json["call_id"] == large.json["call_id"]
        word = {"Authorization": f"Bearer {token.json['token_id']}:{token.json['token_secret']}"}
        for number, call_id in enumerate([*pending, delayed]):
            answer = await server.ask("GET", f"/v1/function-calls/{call_id}?wait=30", headers=word)
            assert answer.json.get("result") == number, answer.text
        new = await server.call("app:nap", 11)
        assert new["result"] == 11
        assert new["call_id"] not in {*pending, delayed}
