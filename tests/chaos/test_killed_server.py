"""The server is killed at random moments under load: nothing that was accepted is lost, and nothing is answered twice.

The history is what clients saw: the calls that were acknowledged, and every result that was shown for them.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.served import Served, serving
from tests.waiting import until

KILLS = 6
CLIENTS = 8
SEED = 20261122

SOURCE = """
import os, time

def double(n):
    return n * 2

def once(path, seconds):
    with open(path, "a") as file:
        file.write("ran\\n")
    time.sleep(seconds)
    return "slept"

def held(path, gate):
    with open(path, "a") as file:
        file.write("ran\\n")
    while not os.path.exists(gate):
        time.sleep(0.01)
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """A server of its own for each test: it is killed."""
    async with serving(tmp_path) as served:
        yield served


@dataclass
class History:
    """What clients saw.

    Args:
        accepted: the number that was sent, by call id.
        answered: the results that were shown at once, by call id.
        keyed: the call that each idempotency key named, in every answer.
    """

    accepted: dict[str, int] = field(default_factory=dict)
    answered: dict[str, object] = field(default_factory=dict)
    keyed: dict[str, set[str]] = field(default_factory=dict)


async def client(server: Served, history: History, name: int, stop: asyncio.Event) -> None:
    """Spawn and invoke in turn, every third call under a key that is asked twice; a dead server is waited for."""
    number = name * 1_000_000
    while not stop.is_set():
        number += 1
        verb = "spawn" if number % 2 else "invocations"
        key = {"Idempotency-Key": f"key-{number // 2}"} if number % 3 == 0 else {}
        body = {"args": [number // 2 if key else number]}
        try:
            answer = await server.ask("POST", f"/v1/functions/demo:double/{verb}", body, headers=key)
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.02)
            continue
        if answer.status == 503:
            continue
        assert answer.status in {200, 202}, answer.text
        call = answer.json
        history.accepted[call["call_id"]] = body["args"][0]
        if key:
            history.keyed.setdefault(f"{name}-{key['Idempotency-Key']}", set()).add(call["call_id"])
        if "result" in call:
            history.answered[call["call_id"]] = call["result"]


async def more_than(count: int, history: History) -> None:
    """Wait for accepted calls: a kill without any proves nothing."""
    await until(lambda: len(history.accepted) > count, f"more than {count} accepted calls", within_s=60)


async def ended(server: Served, call_id: str) -> dict[str, object]:
    """The call, once it has ended."""
    async with asyncio.timeout(60):
        while True:
            answer = await server.ask("GET", f"/v1/function-calls/{call_id}?wait=20")
            if answer.status == 200 and answer.json["status"] not in {"pending", "running"}:
                call: dict[str, object] = answer.json
                return call


async def test_what_was_accepted_ends_once_and_right(server: Served) -> None:
    await server.deploy("demo", SOURCE, "double", max_containers=2)
    chance = random.Random(SEED)
    history, stop = History(), asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        for name in range(CLIENTS):
            clients.create_task(client(server, history, name, stop))
        for kill in range(KILLS):
            await asyncio.sleep(chance.uniform(0.05, 0.8))
            await more_than(kill * CLIENTS, history)
            await server.kill()
            await server.start()
        await more_than(KILLS * CLIENTS, history)
        stop.set()
    for call_id, number in history.accepted.items():
        call = await ended(server, call_id)
        assert (call["status"], call.get("result")) == ("success", number * 2), call
        assert history.answered.get(call_id, number * 2) == number * 2
    assert {len(calls) for calls in history.keyed.values()} == {1}


async def test_a_running_input_is_not_run_twice(server: Served, tmp_path: Path) -> None:
    await server.deploy("demo", SOURCE, "once")
    marks = tmp_path / "marks"
    marks.touch(mode=0o666)
    marks.chmod(0o666)
    begun = await server.ask("POST", "/v1/functions/demo:once/spawn", {"args": [str(marks), 4]})
    async with asyncio.timeout(60):
        while not marks.read_text():
            await asyncio.sleep(0.02)
    await asyncio.sleep(1.5)
    await server.kill()
    await server.start()
    call = await ended(server, begun.json["call_id"])
    assert (call["result"], call["attempts"]) == ("slept", 1)
    assert marks.read_text() == "ran\n"


async def test_sigterm_lets_running_inputs_finish(server: Served, tmp_path: Path) -> None:
    await server.deploy("demo", SOURCE, "held", max_containers=1)
    marks = tmp_path / "marks"
    marks.touch(mode=0o666)
    marks.chmod(0o666)
    gate = tmp_path / "gate"
    path, body = "/v1/functions/demo:held/spawn", {"args": [str(marks), str(gate)]}
    first, second = await server.ask("POST", path, body), await server.ask("POST", path, body)
    async with asyncio.timeout(60):
        while not marks.read_text():
            await asyncio.sleep(0.02)
    stopping = asyncio.create_task(server.stop())
    async with asyncio.timeout(60):
        while (await server.ask("GET", "/readyz")).status == 200:
            await asyncio.sleep(0.02)
    gate.touch()
    assert await stopping == 0
    assert marks.read_text() == "ran\n"
    await server.start()
    assert (await ended(server, first.json["call_id"]))["attempts"] == 1
    after = await ended(server, second.json["call_id"])
    assert (after["status"], after["attempts"]) == ("success", 1)
    assert marks.read_text() == "ran\nran\n"
