"""A server that keeps things for moments only."""

import asyncio
from pathlib import Path

from tests.acceptance.served import serving

SOURCE = """
def shout(word):
    print("heard", word)
    return word.upper()
"""


async def test_calls_past_their_time_are_gone_for_good(tmp_path: Path) -> None:
    async with serving(tmp_path, "--retention", "2s") as server:
        await server.deploy("short", SOURCE, "shout")
        headers = {"Idempotency-Key": "k"}
        made = await server.ask(
            "POST", "/v1/functions/short:shout/invocations", {"args": ["a" * 300_000]}, headers=headers
        )
        path = f"/v1/function-calls/{made.json['call_id']}"
        assert (await server.ask("GET", path)).json["status"] == "success"
        async with asyncio.timeout(60):
            while (answer := await server.ask("GET", path)).status == 200:
                await asyncio.sleep(0.1)
        for gone in (answer, await server.ask("GET", path + "/logs"), await server.ask("POST", path + "/cancel")):
            assert gone.status == 410, gone.text
            assert gone.json["code"] == "call_expired"
        again = await server.ask(
            "POST", "/v1/functions/short:shout/invocations", {"args": ["a" * 300_000]}, headers=headers
        )
        assert again.status == 410, "the key holds for a day, and its call is gone"
        assert (await server.ask("GET", "/v1/function-calls/fc-" + "0" * 26)).status == 404
        assert (await server.call("short:shout", "b"))["result"] == "B"
