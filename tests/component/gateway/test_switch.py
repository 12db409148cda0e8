"""One port for two doors: who gets which request, also when they come over one connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.component.gateway.rig import Client, GatewayRig, ok
from yurt.inbound.gateway.requests import Sites
from yurt.inbound.rest.server import DoorRunner
from yurt.inbound.switch import SharedPort

REST = b"GET /v1/apps HTTP/1.1\r\nHost: here:1\r\n\r\n"
WEB = b"GET /web/label/ HTTP/1.1\r\nHost: here:1\r\n\r\n"
BY_HOST = b"GET /v1/apps HTTP/1.1\r\nhost: label.localhost\r\n\r\n"


class Shared:
    """A port with both doors; the REST door says `rest` and the body's length."""

    def __init__(self, rig: GatewayRig, port: int) -> None:
        self.rig, self.port = rig, port
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))


@pytest.fixture
async def shared(rig: GatewayRig) -> AsyncIterator[Shared]:
    def look_again(protocol: web.RequestHandler) -> None:
        protocol.resume_reading()
        made.go_on.set()

    async def door(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v1/slow":
            made.begun.set()
            await made.go_on.wait()
        if request.path == "/v1/again":
            asyncio.get_running_loop().call_later(0.05, look_again, request.protocol)
        return web.Response(text=f"rest {request.path} {len(await request.read())}")

    runner = DoorRunner(door, share=SharedPort(rig.gateway, Sites(b"localhost", by_path=True)), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await rig.container(ok(b"web"))
    made = Shared(rig, runner.addresses[0][1])
    yield made
    await runner.cleanup()


async def said(client: Client, *, end: bytes) -> bytes:
    return (await client.until(end)).rpartition(b"\r\n\r\n")[2]


async def test_requests_of_one_connection_go_to_their_doors(shared: Shared) -> None:
    client = await shared.client()
    for request, wanted in (
        (REST, b"rest /v1/apps 0"),
        (WEB, b"web"),
        (BY_HOST, b"web"),
        (REST, b"rest /v1/apps 0"),
    ) * 3:
        client.say(request)
        assert await said(client, end=wanted) == wanted
    client.say(REST)
    assert await said(client, end=b"rest /v1/apps 0")
    client.say(REST)
    assert await said(client, end=b"rest /v1/apps 0")
    await client.close()


async def test_who_asks_again_before_the_answer_is_heard_by_the_right_door(shared: Shared) -> None:
    client = await shared.client()
    client.say(REST.replace(b"/v1/apps", b"/v1/slow"))
    await shared.begun.wait()
    client.say(WEB)
    await asyncio.sleep(0.01)  # it is read while the first one is still being answered
    shared.go_on.set()
    answers = await client.until(b"web")
    assert b"rest /v1/slow 0" in answers
    assert b"rest /web" not in answers
    await client.close()


async def test_what_waits_behind_a_request_is_kept_whole(shared: Shared) -> None:
    client = await shared.client()
    body = b"x" * 1_000_000
    client.say(REST.replace(b"/v1/apps", b"/v1/slow"))
    await shared.begun.wait()
    client.say(b"POST /v1/x HTTP/1.1\r\nHost: here:1\r\nContent-Length: 1000000\r\n\r\n")
    client.say(body)
    await asyncio.sleep(0.01)  # some of it is read while the first one is still being answered
    shared.go_on.set()
    assert b"rest /v1/slow 0" in await client.until(b"rest /v1/x 1000000")
    await client.close()


async def test_requests_that_are_surely_for_this_door_wait_in_their_order_with_the_others(shared: Shared) -> None:
    client = await shared.client()
    for _ in range(2):  # the second one makes the host known
        client.say(REST)
        await said(client, end=b"rest /v1/apps 0")
    client.say(REST.replace(b"/v1/apps", b"/v1/slow"))
    await shared.begun.wait()
    for piece in (b"POST /v1/x HTTP/1.1\r\nHost: here:1\r\nContent-Length: 8\r\n\r\nhalf", b"half", WEB):
        client.say(piece)
        await asyncio.sleep(0.01)  # each is read by itself while the first one is still being answered
    shared.go_on.set()
    answers = await client.until(b"web")
    assert [word in answers for word in (b"rest /v1/slow 0", b"rest /v1/x 8", b"rest /web")] == [True, True, False]
    await client.close()


async def test_a_host_that_stands_in_a_body_is_none(shared: Shared) -> None:
    client = await shared.client()
    for _ in range(2):
        client.say(REST)
        await said(client, end=b"rest /v1/apps 0")
    body = b"\r\nHost: here:1\r\n"
    client.say(b"POST / HTTP/1.1\r\nhost: label.localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert await said(client, end=b"web") == b"web"
    await client.close()


async def test_an_empty_piece_is_no_beginning_of_a_request(shared: Shared) -> None:
    """With one aiohttp asks itself, at any time, whether it holds some of a request."""
    client = await shared.client()
    client.say(REST.replace(b"/v1/apps", b"/v1/again"))
    assert await said(client, end=b"rest /v1/again 0")
    await shared.go_on.wait()
    client.say(WEB)
    assert await said(client, end=b"web") == b"web"
    await client.close()


async def test_bodies_go_with_their_requests(shared: Shared) -> None:
    client = await shared.client()
    body = b"x" * 300_000
    post = b"POST /v1/x HTTP/1.1\r\nHost: here:1\r\nContent-Length: 300000\r\n\r\n"
    client.say(WEB)
    await said(client, end=b"web")
    client.say(post + body)
    assert await said(client, end=b"300000") == b"rest /v1/x 300000"
    client.say(WEB)
    await said(client, end=b"web")
    client.say(post)
    client.say(body)
    assert await said(client, end=b"300000") == b"rest /v1/x 300000"
    await client.close()


@pytest.mark.parametrize(("request_", "wanted"), [(REST, b"rest /v1/apps 0"), (WEB, b"web"), (BY_HOST, b"web")])
async def test_a_head_may_come_byte_by_byte(shared: Shared, request_: bytes, wanted: bytes) -> None:
    client = await shared.client()
    for at in range(len(request_)):
        client.say(request_[at : at + 1])
        await client.writer.drain()
        await asyncio.sleep(0)
    assert await said(client, end=wanted) == wanted
    await client.close()


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00", b"nonsense\r\n\r\n", b"get / http/1.1\r\n\r\n", b"\r\n\r\n\0"]
)
async def test_what_is_no_http_is_answered_by_the_rest_door(shared: Shared, garbage: bytes) -> None:
    client = await shared.client()
    client.say(garbage)
    assert b" 400 " in (await client.rest())[:20]
    await client.close()


async def test_who_says_nothing_or_hangs_up_leaves_nothing_behind(shared: Shared) -> None:
    for piece in (b"", b"GET /web/la", b"GET /v1/apps HTTP/1.1\r\nHo"):
        client = await shared.client()
        client.say(piece)
        await client.writer.drain()
        await client.close()
    client = await shared.client()
    client.say(REST)
    assert await said(client, end=b"rest /v1/apps 0")
    await client.close()


def test_ports(monkeypatch: Any) -> None:
    from yurt.app.web import web_ports
    from yurt.settings import load

    home = load()
    found = web_ports(home, "127.0.0.1:7600", None)
    assert found.places.urls("shop") == ("http://shop.localhost:7600/", "http://127.0.0.1:7600/web/shop/")
    assert found.shared == Sites(b"localhost", by_path=True)
    away = load(listen="10.0.0.1:80", allow_unisolated=True)
    assert web_ports(away, "10.0.0.1:80", None).places.urls("shop") == ()
    assert web_ports(away, "10.0.0.1:80", None).shared is None
    own = web_ports(away, "10.0.0.1:80", "10.0.0.1:81")
    assert own.places.urls("shop") == ("http://10.0.0.1:81/web/shop/",)
    assert (own.shared, own.own) == (None, Sites(None, by_path=True))
    named = load(listen="10.0.0.1:80", allow_unisolated=True, web_url="https://Apps.example/")
    found = web_ports(named, "10.0.0.1:80", None)
    assert found.places.urls("shop") == ("https://shop.apps.example/",)
    assert found.shared == Sites(b"apps.example", by_path=False), "pages must not be of the API's origin"
    for wrong in ("apps.example", "ftp://a", "https://a/b", "https://"):
        with pytest.raises(ValueError, match="scheme://host"):
            load(web_url=wrong)
