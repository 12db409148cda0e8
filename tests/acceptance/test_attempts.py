"""Attempts of a call: made again by the server, later, or in a new call."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.served import Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
import os, yurt_runner

def flaky(good):
    attempt = yurt_runner.current().attempt
    if attempt < good:
        raise ValueError("attempt %d" % attempt)
    return attempt

def crashes():
    os._exit(3)

def echo(value):
    return value

def length(text):
    return len(text)
"""
SOON = {"max_retries": 3, "initial_delay": 0.1}


async def ended(server: Served, call_id: str) -> dict[str, object]:
    """The call, once it has ended."""
    found = (await server.ask("GET", f"/v1/function-calls/{call_id}?wait=30&include=attempt_history")).json
    assert found["status"] not in {"pending", "running"}
    return dict(found)


async def test_a_flaky_function_succeeds_and_tells_what_failed(server: Served) -> None:
    await server.deploy("flaky", SOURCE, "flaky", retries=SOON)
    call = await server.call("flaky:flaky", 3)
    assert (call["status"], call["result"], call["attempts"]) == ("success", 3, 3)
    history = (await ended(server, call["call_id"]))["attempt_history"]
    assert isinstance(history, list)
    assert [(one["number"], one["outcome"], one["message"]) for one in history] == [
        (1, "user_error", "ValueError: attempt 1"),
        (2, "user_error", "ValueError: attempt 2"),
    ]
    failed = await server.call("flaky:flaky", 9)
    assert (failed["status"], failed["attempts"], failed["error"]["attempt"]) == ("failure", 4, 4)
    shown = await server.ask("GET", "/v1/functions/flaky:flaky")
    assert shown.json["retries"] == 3


async def test_a_crash_uses_a_retry(server: Served) -> None:
    await server.deploy("crashes", SOURCE, "crashes", retries={"max_retries": 1, "initial_delay": 0})
    call = await server.call("crashes:crashes")
    assert (call["status"], call["error"]["outcome"], call["attempts"]) == ("failure", "crashed", 2)


async def test_a_retry_and_a_delay_are_the_servers_also_of_its_next_life(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.deploy("later", SOURCE, "flaky", retries={"max_retries": 1, "initial_delay": 3})
        await server.deploy("later2", SOURCE, "echo")
        spawn = (await server.ask("POST", "/v1/functions/later:flaky/spawn", {"args": [2]})).json
        delayed = (await server.ask("POST", "/v1/functions/later2:echo/spawn", {"args": [5], "delay": 4})).json
        waiting = (await server.ask("GET", f"/v1/function-calls/{delayed['call_id']}")).json
        assert waiting["pending_reason"]["code"] == "delayed"
        late = {"args": [6], "delay": 0.1, "queue_timeout": 0.2}
        await server.ask("PATCH", "/v1/functions/later2:echo/autoscaler", {"max_containers": 0})
        expired = (await server.ask("POST", "/v1/functions/later2:echo/spawn", late)).json
        path = f"/v1/function-calls/{spawn['call_id']}"
        async with asyncio.timeout(60):
            while (reason := (await server.ask("GET", path)).json.get("pending_reason", {})).get("code") != (
                "retry_backoff"
            ):
                await asyncio.sleep(0.02)
        assert "retry_at" in reason
        await server.kill()
        await server.start()
        await server.ask("PATCH", "/v1/functions/later2:echo/autoscaler", {"max_containers": 1})
        again = await ended(server, spawn["call_id"])
        assert (again["status"], again["result"], again["attempts"]) == ("success", 2, 2)
        assert (await ended(server, delayed["call_id"]))["result"] == 5
        over = await ended(server, expired["call_id"])
        assert (over["status"], over["attempts"]) == ("failure", 0)
        assert isinstance(over["error"], dict)
        assert over["error"]["outcome"] == "expired"


@pytest.mark.parametrize("size", [3, 400_000])
async def test_a_redrive_is_a_new_call_with_the_same_arguments(server: Served, size: int) -> None:
    await server.deploy("again", SOURCE, "length")
    body = {"args": ["x" * size], "metadata": {"for": "ann"}, "priority": 3, "delay": 600}
    failed = (await server.ask("POST", "/v1/functions/again:length/spawn", body)).json
    path = f"/v1/function-calls/{failed['call_id']}"
    assert (await server.ask("POST", f"{path}/cancel")).json["status"] == "terminated"
    redrive = await server.ask("POST", f"{path}/redrive")
    assert (redrive.status, redrive.json["redrive_of"]) == (202, failed["call_id"])
    assert redrive.headers["Location"] == f"/v1/function-calls/{redrive.json['call_id']}"
    new = await ended(server, redrive.json["call_id"])
    assert (new["status"], new["result"], new["redrive_of"]) == ("success", size, failed["call_id"])
    assert (new["metadata"], new["priority"]) == ({"for": "ann"}, 3)
    assert (await ended(server, failed["call_id"]))["status"] == "terminated"


async def test_what_has_not_failed_is_not_redriven(server: Served) -> None:
    await server.deploy("fine", SOURCE, "echo")
    done = await server.call("fine:echo", 1)
    waits = (await server.ask("POST", "/v1/functions/fine:echo/spawn", {"args": [1], "delay": 600})).json
    for call_id, status in ((done["call_id"], "success"), (waits["call_id"], "pending")):
        refused = await server.ask("POST", f"/v1/function-calls/{call_id}/redrive")
        assert (refused.status, refused.json["code"]) == (409, "not_redrivable")
        assert refused.json["status_of_call"] == status
    assert (await server.ask("POST", "/v1/function-calls/fc-nothing/redrive")).status == 404


async def test_a_backlog_is_cancelled_and_what_comes_later_runs(server: Served) -> None:
    await server.deploy("backlog", SOURCE, "echo", max_containers=0)
    path = "/v1/functions/backlog:echo"
    calls = [(await server.ask("POST", f"{path}/spawn", {"args": [n], "delay": n})).json for n in (0, 0, 600)]
    none = await server.ask("POST", f"{path}/cancel-pending", {"before": "1h"})
    assert (none.status, none.json) == (200, {"cancelled": 0})
    wrong = await server.ask("POST", f"{path}/cancel-pending", {"before": "yesterday"})
    assert (wrong.status, [one["pointer"] for one in wrong.json["errors"]]) == (422, ["/before"])
    assert (await server.ask("POST", f"{path}/cancel-pending")).json == {"cancelled": 3}
    for call in calls:
        error = (await ended(server, str(call["call_id"])))["error"]
        assert isinstance(error, dict)
        assert error["outcome"] == "cancelled"
    await server.ask("PATCH", f"{path}/autoscaler", {"max_containers": 1})
    assert (await server.call("backlog:echo", 7))["result"] == 7
