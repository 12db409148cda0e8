"""How callbacks leave: over real connections, to addresses that were checked."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.acceptance.receivers import receiving
from yurt.outbound.callbacks import HttpPost, post
from yurt.ports import NotDelivered

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


async def test_a_receiver_gets_the_body_and_the_headers() -> None:
    async with receiving() as receiver:
        await HttpPost(LOOPBACK).post(receiver.url + "/a", {"webhook-id": "fc-1"}, b'{"x":1}')
        (message,) = receiver.messages
    assert message.body == b'{"x":1}'
    assert message.headers["webhook-id"] == "fc-1"
    assert message.headers["Content-Type"] == "application/json"
    assert message.headers["Host"] == receiver.url.removeprefix("http://")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001"])
async def test_nothing_is_sent_to_an_address_that_is_not_public(host: str) -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", host)
        with pytest.raises(NotDelivered):
            await HttpPost(()).post(url, {}, b"{}")
        assert not receiver.messages


async def test_names_are_looked_up_once_and_every_address_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, asked = asyncio.get_running_loop(), []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    with pytest.raises(NotDelivered, match=r"10\.0\.0\.1 is not a public address"):
        await HttpPost(()).post("http://mixed.example/", {}, b"{}")
    assert asked == ["mixed.example"]


async def test_the_connection_goes_to_the_checked_address_and_keeps_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, asked = asyncio.get_running_loop(), []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    async with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        await HttpPost(LOOPBACK).post(f"http://receiver.example:{port}/", {}, b"{}")
        (message,) = receiver.messages
    assert asked == ["receiver.example"]
    assert message.headers["Host"] == f"receiver.example:{port}"


@asynccontextmanager
async def _talking(*said: bytes, forever: bytes = b"", pause_s: float = 0) -> AsyncIterator[str]:
    """A server that says things whatever it is asked; returns its URL."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for part in said:
                writer.write(part)
            while forever:
                writer.write(forever)
                await writer.drain()
                await asyncio.sleep(pause_s)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        await server.wait_closed()


async def test_an_endless_answer_is_read_only_so_far() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
    async with _talking(head, forever=b"x" * 65536) as url:
        await HttpPost(LOOPBACK).post(url, {}, b"{}")


async def test_an_answer_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "TIMEOUT_S", 0.3)
    async with _talking(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", forever=b"x", pause_s=0.05) as url:
        with pytest.raises(NotDelivered, match="no answer within"):
            await HttpPost(LOOPBACK).post(url, {}, b"{}")


@pytest.mark.parametrize("said", [b"", b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_an_answer_that_is_none_is_a_failure(said: bytes) -> None:
    async with _talking(said) as url:
        with pytest.raises(NotDelivered):
            await HttpPost(LOOPBACK).post(url, {}, b"{}")


@pytest.mark.parametrize(("status", "final"), [(301, False), (404, False), (410, True), (503, False)])
async def test_only_2xx_is_taken(status: int, final: bool) -> None:
    async with _talking(b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" % status) as url:
        with pytest.raises(NotDelivered, match=str(status)) as refused:
            await HttpPost(LOOPBACK).post(url, {}, b"{}")
        assert refused.value.final is final
