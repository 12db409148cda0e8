"""Calls as clients over REST live them: who sees what, and what a broken connection means."""

import asyncio

import aiohttp
import pytest

from tests.acceptance.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
import time

def shout(word):
    print("heard", word)
    return word.upper()

def nap(seconds):
    time.sleep(seconds)
"""

NAP_S = 4.5
"""Below the time that a commit may take, so that a server which watches its client only afterwards is found out."""


async def _token(server: Served, role: str) -> dict[str, str]:
    """The headers of a new token with that role."""
    made = (await server.ask("POST", "/v1/tokens", {"name": role, "role": role})).json
    return {"Authorization": f"Bearer {made['token_id']}:{made['token_secret']}"}


async def test_events_tell_log_lines_only_to_those_who_may_read_logs(server: Served) -> None:
    await server.deploy("heard", SOURCE, "shout")
    call = await server.call("heard:shout", "marmot")
    await server.logs(f"/v1/function-calls/{call['call_id']}", "heard marmot")
    path = f"/v1/function-calls/{call['call_id']}/events"
    deployer = await server.ask("GET", path, headers=await _token(server, "deploy"))
    caller = await server.ask("GET", path, headers=await _token(server, "invoke"))
    reader = await server.ask("GET", path, headers=await _token(server, "read"))
    assert "event: log" in deployer.text
    assert "heard marmot" in deployer.text
    assert "event: log" not in caller.text
    assert "heard marmot" not in caller.text
    assert "event: end" in caller.text
    assert "MARMOT" in caller.text
    assert reader.status == 403


@pytest.mark.parametrize("prefer", [None, "respond-async, wait=8"])
async def test_a_caller_that_goes_away_cancels_its_call_within_moments(server: Served, prefer: str | None) -> None:
    await server.deploy("gone", SOURCE, "nap")
    headers = {"Authorization": f"Bearer {server.token}"} | ({"Prefer": prefer} if prefer else {})
    url = f"{server.url}/v1/functions/gone:nap/invocations?cancel_on_disconnect=true"
    running = "/v1/functions/gone:nap/invocations?status=running"
    async with aiohttp.ClientSession() as http:
        request = asyncio.create_task(http.post(url, json={"args": [NAP_S]}, headers=headers))
        async with asyncio.timeout(60):
            while not (calls := (await server.ask("GET", running)).json["data"]):
                await asyncio.sleep(0.02)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    call = (await server.ask("GET", f"/v1/function-calls/{calls[0]['call_id']}?wait=20")).json
    assert call["status"] == "terminated"
    assert call["error"]["by"] == "disconnect"
