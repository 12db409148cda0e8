"""`yurt store backup` of a server under load, and a server that goes on from the copy."""

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.served import Served, command, serving

SOURCE = """
def double(number):
    return 2 * number

def long(text):
    return text * 1000
"""
LARGE = "yurt" * 100
"""Above 256 KiB when it comes back: a blob."""


@dataclass
class Load:
    """Clients that make calls for as long as they are let.

    Args:
        accepted: what the result of each acknowledged call must be, by its id.
    """

    server: Served
    accepted: dict[str, Any] = field(default_factory=dict)

    async def spawn(self, numbers: "itertools.count[int]") -> None:
        while True:
            number = next(numbers)
            made = await self.server.ask("POST", "/v1/functions/sums:double/spawn", {"args": [number]})
            assert made.status == 202, made.text
            self.accepted[made.json["call_id"]] = 2 * number

    async def call(self, numbers: "itertools.count[int]") -> None:
        while True:
            text = f"{LARGE}{next(numbers)}"
            called = await self.server.call("sums:long", text)
            self.accepted[called["call_id"]] = text * 1000

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.accepted) < count:
                await asyncio.sleep(0.01)


async def test_every_call_accepted_before_is_in_the_copy_and_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.deploy("sums", SOURCE, "double", "long")
        load, numbers = Load(server), itertools.count()
        clients = [asyncio.create_task(load.spawn(numbers)) for _ in range(8)]
        clients += [asyncio.create_task(load.call(numbers)) for _ in range(2)]
        await load.reach(300)
        before = dict(load.accepted)

        place = tmp_path / "second" / "data"
        place.parent.mkdir(0o711)
        done = await command("store", "backup", "--json", "--data-dir", server.data, place)

        assert done.code == 0, done.err
        assert json.loads(done.out)["blobs"] > 0
        assert json.loads(done.out)["lost_blobs"] == []
        await load.reach(len(load.accepted) + 50)
        for client in clients:
            client.cancel()
        ended = await asyncio.gather(*clients, return_exceptions=True)
        late = await server.call("sums:double", 1)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
        await server.stop()

        async with serving(place.parent) as copy:
            assert copy.token == server.token
            for call_id, result in before.items():
                kept = await copy.ask("GET", f"/v1/function-calls/{call_id}?wait=30")
                assert kept.json["result"] == result
            again = await copy.call("sums:double", 21)
            assert again["result"] == 42
            assert again["call_id"] not in load.accepted
            assert (await copy.ask("GET", f"/v1/function-calls/{late['call_id']}")).status == 410
            assert (await copy.ask("GET", "/readyz")).status == 200
