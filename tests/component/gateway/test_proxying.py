"""Requests and responses on their way through: what arrives, in which framing, and in which order."""

import asyncio

import pytest

from tests.component.gateway.rig import GatewayRig, Visit, ok, once
from tests.waiting import until


async def test_a_request_arrives_with_its_client_and_without_what_is_of_one_connection(rig: GatewayRig) -> None:
    origin = await rig.container(ok())
    more = b"Keep-Alive: 5\r\nTE: trailers\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_Proto: https\r\n"
    more += b"Forwarded: for=evil\r\n"
    more += b"X-Drop: me\r\nX-Keep: me\r\nUpgrade: h2c\r\nConnection: keep-alive, X-Drop, Host, Upgrade\r\n"
    answer = await rig.ask(b"GET /a?b=c HTTP/1.1\r\nHost: label.localhost\r\n" + more + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    lines = origin.heads[0].split(b"\r\n")
    assert lines[:3] == [b"GET /a?b=c HTTP/1.1", b"host: label.localhost", b"x-keep: me"]
    assert lines[3:] == [
        b"x-forwarded-for: 127.0.0.1",
        b"x-forwarded-proto: http",
        b"x-forwarded-host: label.localhost",
        b'forwarded: for=127.0.0.1;host="label.localhost";proto=http',
        b"",
        b"",
    ]


async def test_by_path_the_container_is_told_the_prefix(rig: GatewayRig) -> None:
    origin = await rig.container(ok())
    close = b" HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n"
    await rig.ask(b"GET /web/label/a/b?c" + close)
    assert origin.heads[0].startswith(b"GET /a/b?c HTTP/1.1\r\n")
    assert b"\r\nx-forwarded-prefix: /web/label\r\n" in origin.heads[0]
    moved = await rig.ask(b"GET /web/label?x=1" + close)
    assert moved.startswith(b"HTTP/1.1 308 ")
    assert b"\r\nLocation: /web/label/?x=1\r\n" in moved
    for nowhere in (b"/web/other/", b"/web/", b"/", b"/v1/apps"):
        answer = await rig.ask(b"GET " + nowhere + close)
        assert answer.startswith(b"HTTP/1.1 404 "), nowhere
        assert (b'no endpoint \\"other\\".' if b"other" in nowhere else b"no endpoint here.") in answer


async def test_a_connection_serves_requests_in_their_order_over_one_connection_to_the_container(
    rig: GatewayRig,
) -> None:
    origin = await rig.container(ok())
    client = await rig.client()
    for _ in range(3):
        client.say(b"GET / HTTP/1.1\r\nHost: label.localhost\r\n\r\n")
        assert (await client.until(b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")
    paths = b"".join(b"GET /%d HTTP/1.1\r\nHost: label.localhost\r\n\r\n" % number for number in range(40))
    client.say(paths + b"GET /end HTTP/1.1\r\nHost: label.localhost\r\nConnection: close\r\n\r\n")
    assert (await client.rest()).count(b"\r\n\r\nok") == 41
    await client.close()
    assert [head.split(b" ")[1] for head in origin.heads][3:] == [b"/%d" % number for number in range(40)] + [b"/end"]
    assert len(origin.visits) == 1


async def test_bodies_come_in_the_framing_that_fits_the_client(rig: GatewayRig) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    until_end = b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nabcde"
    sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde"
    for said in (chunked, until_end, sized):
        await rig.container(once(said))
        modern = await rig.get()
        old = await rig.ask(b"GET / HTTP/1.0\r\nHost: label.localhost\r\n\r\n")
        assert modern.startswith(b"HTTP/1.1 200 OK\r\n")
        if said is sized:
            assert modern.endswith(b"\r\n\r\nabcde")
        else:
            assert b"Transfer-Encoding: chunked\r\n" in modern
            assert modern.endswith(b"0\r\n\r\n")
        assert old.endswith(b"\r\n\r\nabcde")
        assert b"chunked" not in old
        rig.members.clear()


async def test_answers_without_a_body_have_none(rig: GatewayRig) -> None:
    async def answer(visit: Visit) -> None:
        while head := await visit.head():
            if head.startswith(b"HEAD"):
                visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            else:
                visit.say(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n")

    origin = await rig.container(answer)
    client = await rig.client()
    for method in (b"HEAD", b"GET", b"HEAD", b"GET"):
        client.say(method + b" / HTTP/1.1\r\nHost: label.localhost\r\n\r\n")
        head = await client.until(b"\r\n\r\n")
        assert b"Content-Length: 5\r\n" in head, head
    client.say(b"HEAD / HTTP/1.1\r\nHost: label.localhost\r\nConnection: close\r\n\r\n")
    assert (await client.rest()).endswith(b"\r\n\r\n")
    await client.close()
    assert len(origin.visits) == 1, "the connection is kept"


async def test_a_body_arrives_in_either_framing(rig: GatewayRig) -> None:
    got: list[bytes] = []

    async def answer(visit: Visit) -> None:
        while head := await visit.head():
            if b"chunked" in head:
                got.append(await visit.reader.readuntil(b"0\r\n\r\n"))
            else:
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                got.append(await visit.reader.readexactly(size))
            visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    await rig.container(answer)
    client = await rig.client()
    client.say(b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 5\r\n\r\nab")
    client.say(b"cde")
    await client.until(b"ok")
    client.say(b"POST / HTTP/1.1\r\nHost: label.localhost\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n")
    await until(lambda: len(rig.origins[0].heads) == 2, "the request has begun before its body is whole")
    client.say(b"3\r\ncde\r\n0\r\n\r\n")
    await client.until(b"ok")
    await client.close()
    assert got[0] == b"abcde"
    assert got[1].endswith(b"0\r\n\r\n")
    assert b"".join(part for part in got[1].split(b"\r\n")[1::2]) == b"abcde"


async def test_what_comes_before_the_answer_is_handed_on(rig: GatewayRig) -> None:
    async def answer(visit: Visit) -> None:
        await visit.head()
        visit.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        await visit.reader.readexactly(2)
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    await rig.container(answer)
    client = await rig.client()
    client.say(b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>")
    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 Continue")
    client.say(b"ab")
    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    await client.close()


async def test_an_answer_that_comes_before_the_request_has_ended_is_the_answer(rig: GatewayRig) -> None:
    await rig.container(once(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
    client = await rig.client()
    client.say(b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 100_000)
    answer = await client.until(b"no")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"Connection: close" in answer
    await client.close()
    await rig.settled()


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\r\nHost: label.localhost\r\nHost: label.localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: label.localhost\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: label.localhost\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\nHost: label.localhost\n\n",
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\n" + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: label.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: +3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\nUpgrade: a\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\na",
        b"CONNECT label.localhost:80 HTTP/1.1\r\nHost: label.localhost\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: label.localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET label HTTP/1.1\r\nHost: label.localhost\r\n\r\n",
    ],
)
async def test_what_two_servers_might_read_differently_is_refused(rig: GatewayRig, bad: bytes) -> None:
    origin = await rig.container(ok())
    answer = await rig.ask(bad)
    assert answer[:10] in {b"HTTP/1.1 4", b"HTTP/1.1 5"}, answer
    assert b"\r\nConnection: close\r\n" in answer
    assert origin.heads == []
    assert rig.traffic._members["co-1"].requests == 0


async def test_a_chunk_that_is_none_ends_the_request(rig: GatewayRig) -> None:
    await rig.container(ok())
    client = await rig.client()
    client.say(b"POST / HTTP/1.1\r\nHost: label.localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    await until(lambda: bool(rig.origins[0].heads), "the request is with the container")
    client.say(b"nonsense\r\n")
    await client.rest()
    await client.close()
    await rig.settled()
    assert rig.origins[0].visits[0].gone


async def test_the_target_may_have_a_host(rig: GatewayRig) -> None:
    origin = await rig.container(ok())
    await rig.ask(b"GET http://label.localhost/x?y HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")
    assert origin.heads[0].startswith(b"GET /x?y HTTP/1.1\r\nhost: label.localhost\r\n")


async def test_a_websocket_is_a_tunnel(rig: GatewayRig) -> None:
    async def answer(visit: Visit) -> None:
        await visit.head()
        visit.say(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: x\r\n\r\nhi"
        )
        while piece := await visit.reader.read(100):
            visit.say(piece.upper())

    origin = await rig.container(answer)
    client = await rig.client()
    client.say(
        b"GET /ws HTTP/1.1\r\nHost: label.localhost\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
        b"Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\nearly"
    )
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: x" in head
    assert b"sec-websocket-key: k\r\n" in origin.heads[0]
    assert b"connection: Upgrade\r\nupgrade: websocket\r\n" in origin.heads[0]
    assert await client.until(b"Y") == b"hiEARLY"
    client.say(b"more")
    assert await client.until(b"E") == b"MORE"
    assert rig.members["co-1"].requests == 1
    await client.close()
    await rig.settled()
    assert rig.left == ["co-1"]
    assert rig.seen == [("web", 101)]


async def test_an_upgrade_that_the_container_refuses_is_answered(rig: GatewayRig) -> None:
    await rig.container(once(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
    answer = await rig.ask(
        b"GET / HTTP/1.1\r\nHost: label.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: k\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"no")


async def test_a_client_that_reads_slowly_slows_the_container_down(rig: GatewayRig) -> None:
    sent = 0

    async def answer(visit: Visit) -> None:
        nonlocal sent
        await visit.head()
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        while sent < 64 << 20:
            visit.say(b"x" * (1 << 16))
            await visit.writer.drain()
            sent += 1 << 16

    await rig.container(answer)
    client = await rig.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.say(b"GET / HTTP/1.1\r\nHost: label.localhost\r\nConnection: close\r\n\r\n")
    await until(lambda: sent > 0, "it begins")
    before = -1
    while before != sent:  # until it stands still
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 32 << 20, "what nobody reads stays with the container"
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    body = (await client.rest()).partition(b"\r\n\r\n")[2]
    assert len(body) == 64 << 20
    await client.close()


async def test_a_container_that_reads_slowly_slows_the_client_down(rig: GatewayRig) -> None:
    go = asyncio.Event()
    got = 0

    async def answer(visit: Visit) -> None:
        nonlocal got
        await visit.head()
        visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        visit.writer.transport.resume_reading()  # type: ignore[attr-defined]
        while got < 64 << 20:
            got += len(await visit.reader.read(1 << 20))
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    await rig.container(answer)
    client = await rig.client()
    client.say(
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (64 << 20)
    )
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < 64 << 20:
            client.say(b"x" * (1 << 16))
            await client.writer.drain()
            sent += 1 << 16

    sending = asyncio.create_task(send())
    await until(lambda: sent > 0, "it begins")
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 32 << 20
    go.set()
    await sending
    assert (await client.rest()).startswith(b"HTTP/1.1 200 ")
    await client.close()


async def test_a_client_that_goes_away_is_gone_for_the_container_too(rig: GatewayRig) -> None:
    async def answer(visit: Visit) -> None:
        await visit.head()
        await visit.reader.read()

    origin = await rig.container(answer)
    client = await rig.client()
    client.say(b"GET / HTTP/1.1\r\nHost: label.localhost\r\n\r\n")
    await until(lambda: bool(origin.heads), "the request is with the container")
    await client.close()
    await until(lambda: origin.visits[0].gone, "the container hears of it")
    await rig.settled()
    assert rig.seen == [("web", 499)]
