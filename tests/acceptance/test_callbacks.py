"""Callbacks of the real server to a real receiver."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.receivers import CALLBACKS_MAY_REACH_US, receiving
from tests.acceptance.served import Served, serving
from tests.waiting import until

SOURCE = """
def double(n):
    return 2 * n

def fail():
    raise ValueError("no")

def large(n):
    return "x" * n
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, *CALLBACKS_MAY_REACH_US) as served:
        await served.deploy("calls", SOURCE, "double", "fail", "large")
        yield served


async def _secrets(server: Served) -> list[str]:
    answer = await server.ask("GET", "/v1/environments/main/callback-secrets")
    assert answer.status == 200, answer.text
    return [secret["secret"] for secret in answer.json["secrets"]]


async def _spawn(server: Served, name: str, url: str, *args: object) -> str:
    answer = await server.ask("POST", f"/v1/functions/calls:{name}/spawn", {"args": args, "callback_url": url})
    assert answer.status == 202, answer.text
    return str(answer.json["call_id"])


async def _settled(server: Served, call_id: str) -> dict[str, Any]:
    """The call, once its callback is delivered or given up."""
    async with asyncio.timeout(60):
        while True:
            call: dict[str, Any] = (await server.ask("GET", f"/v1/function-calls/{call_id}")).json
            if call["callback"]["state"] != "pending":
                return call
            await asyncio.sleep(0.02)


async def test_the_end_of_a_call_is_told_with_a_signature(server: Served) -> None:
    async with receiving() as receiver:
        call_id = await _spawn(server, "double", receiver.url + "/done?x=1", 21)
        call = await _settled(server, call_id)
        (message,) = receiver.messages
    (secret,) = await _secrets(server)
    assert message.signed_by(secret)
    assert message.headers["webhook-id"] == call_id
    told = json.loads(message.body)
    assert told["type"] == "call.finished"
    told_of = call.pop("callback")
    assert told["data"] == call
    assert call["result"] == 42
    assert told_of["attempts"] == 1
    assert set(told_of) == {"url", "state", "attempts", "delivered_at"}


async def test_failures_are_told_and_large_results_left_out(server: Served) -> None:
    async with receiving() as receiver:
        failed = await _spawn(server, "fail", receiver.url)
        large = await _spawn(server, "large", receiver.url, 1 << 20)
        await _settled(server, failed)
        await _settled(server, large)
        told = {json.loads(message.body)["data"]["call_id"]: json.loads(message.body) for message in receiver.messages}
    assert told[failed]["data"]["error"]["type"] == "ValueError"
    assert told[large]["data"]["status"] == "success"
    assert "result" not in told[large]["data"]
    assert told[large]["result_url"] == f"/v1/function-calls/{large}"


async def test_callbacks_that_failed_are_tried_again_after_a_restart(server: Served) -> None:
    async with receiving() as receiver:
        receiver.answers = [500]
        call_id = await _spawn(server, "double", receiver.url, 1)
        await until(lambda: receiver.messages, "the first attempt")
        async with asyncio.timeout(60):
            while not (call := (await server.ask("GET", f"/v1/function-calls/{call_id}")).json)["callback"]["attempts"]:
                await asyncio.sleep(0.02)
        assert "500" in call["callback"]["last_error"]
        assert call["callback"]["next_attempt_at"] > call["finished_at"]
        await server.kill()
        await server.start()
        assert (await _settled(server, call_id))["callback"]["state"] == "delivered"
        first, second = receiver.messages
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_redirects_are_not_followed_and_gone_is_the_end(server: Served) -> None:
    async with receiving() as receiver:
        receiver.answers = [302, 410]
        await _spawn(server, "double", receiver.url, 1)
        await until(lambda: receiver.messages, "the first attempt")
        call = await _settled(server, await _spawn(server, "double", receiver.url, 1))
        assert call["callback"]["state"] == "failed"
        assert all(message.headers["webhook-id"] for message in receiver.messages)
        assert len(receiver.messages) == 2


async def test_both_secrets_sign_while_one_takes_over(server: Served) -> None:
    (old,) = await _secrets(server)
    rotated = await server.ask("POST", "/v1/environments/main/callback-secrets")
    assert rotated.status == 200, rotated.text
    new, still = await _secrets(server)
    assert still == old != new
    async with receiving() as receiver:
        await _settled(server, await _spawn(server, "double", receiver.url, 1))
        (message,) = receiver.messages
    assert message.signed_by(old)
    assert message.signed_by(new)


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "https://user:secret@example.com/", "http://10.0.0.1/", "nowhere", 7, "http://127.1/"]
)
async def test_urls_that_no_callback_goes_to_are_refused(server: Served, url: object) -> None:
    answer = await server.ask("POST", "/v1/functions/calls:double/spawn", {"args": [1], "callback_url": url})
    assert answer.status == 422, answer.text
    assert [error["pointer"] for error in answer.json["errors"]] == ["/callback_url"]


def test_a_signature_of_the_specification_holds() -> None:
    """The test vector of the reference libraries."""
    from tests.acceptance.receivers import Message

    message = Message(
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
    )
    assert message.signed_by("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


async def test_the_end_of_a_map_is_told(server: Served) -> None:
    inputs = {"inputs": [{"args": [n]} for n in range(3)]}
    async with receiving() as receiver:
        query = {"callback_url": receiver.url}
        answer = await server.ask("POST", "/v1/functions/calls:double/map", inputs, params=query)
        await _settled(server, answer.headers["Yurt-Call-Id"])
        (message,) = receiver.messages
    told = json.loads(message.body)["data"]
    assert (told["kind"], told["num_inputs"], told["counts"]["success"]) == ("map", 3, 3)
    assert "result" not in told
