"""What the gateway does not bear with, and what it says then."""

import asyncio
import json

from tests.component.gateway.conftest import Make
from tests.component.gateway.rig import GatewayRig, Visit, ok
from tests.waiting import until
from yurt.inbound.gateway.limits import GatewayLimits


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def problem(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    found: dict[str, object] = json.loads(body)
    return found


async def test_heads_have_a_limit(make: Make) -> None:
    rig = await make(limits=GatewayLimits(head_bytes=4096))
    await rig.container(ok())
    assert status(await rig.get(b"/", b"X: " + b"y" * 3000 + b"\r\n")) == 200
    for more in (b"X: " + b"y" * 5000 + b"\r\n", b"A: b\r\n" * 300, b"X: " + b"y" * 1_000_000 + b"\r\n"):
        answer = await rig.get(b"/", more)
        assert (status(answer), problem(answer)["code"]) == (431, "headers_too_large")
    assert status(await rig.get(b"/" + b"x" * 5000)) == 431


async def test_bodies_have_a_limit_announced_or_not(make: Make) -> None:
    rig = await make(limits=GatewayLimits(body_bytes=100_000))
    origin = await rig.container(ok())
    assert status(await rig.get(b"/", b"Content-Length: 100001\r\n", b"POST")) == 413
    assert origin.heads == []
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    chunked = b"POST / HTTP/1.1\r\nHost: label.localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status(await rig.ask(chunked + chunk + chunk + chunk)) in {413, 200}  # the container may be faster
    await rig.settled()


async def test_a_head_that_does_not_come_is_not_waited_for(make: Make) -> None:
    rig = await make(limits=GatewayLimits(idle_s=0.2))
    client = await rig.client()
    client.say(b"GET / HTTP/1.1\r\n")

    async def drip() -> None:
        while True:
            await asyncio.sleep(0.02)
            client.say(b"X: y\r\n")

    dripping = asyncio.create_task(drip())
    answer = await client.rest()
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    await client.close()
    assert (status(answer), problem(answer)["code"]) == (408, "request_timeout")


async def test_a_body_that_stops_coming_holds_up_no_container(make: Make) -> None:
    rig = await make(limits=GatewayLimits(idle_s=0.2))
    origin = await rig.container(ok())
    answer = await rig.ask(b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 10\r\n\r\nabc")
    assert status(answer) == 408
    assert origin.heads == [], "a small body is waited for before a container is asked"
    large = b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 1000000\r\n\r\nabc"

    async def reads(visit: Visit) -> None:
        await visit.head()
        await visit.reader.read()

    rig.members.clear()
    await rig.container(reads)
    assert status(await rig.ask(large)) == 408
    await rig.settled()


async def test_a_connection_without_requests_is_closed_without_a_word(make: Make) -> None:
    rig = await make(limits=GatewayLimits(keep_s=0.2))
    assert await rig.ask(b"") == b""


async def test_an_answer_that_nobody_reads_is_given_up(make: Make) -> None:
    rig = await make(limits=GatewayLimits(idle_s=0.2))

    async def answer(visit: Visit) -> None:
        await visit.head()
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 << 20))
        while True:
            visit.say(b"x" * (1 << 16))
            await visit.writer.drain()

    origin = await rig.container(answer)
    client = await rig.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.say(b"GET / HTTP/1.1\r\nHost: label.localhost\r\n\r\n")
    await until(lambda: bool(origin.visits) and origin.visits[0].gone, "the container is free again")
    await rig.settled()
    client.writer.transport.abort()
    await client.close()


async def test_requests_wait_for_a_container_and_not_for_ever(make: Make) -> None:
    rig = await make(limits=GatewayLimits(wait_s=0.3, waiting=2))
    first, second = asyncio.create_task(rig.get()), asyncio.create_task(rig.get())
    await until(lambda: len(rig.traffic) == 2, "two wait")
    assert rig.scaled > 0
    full = await rig.get()
    assert (status(full), problem(full)["code"]) == (503, "unavailable")
    assert b"\r\nRetry-After: " in full
    assert [status(answer) for answer in await asyncio.gather(first, second)] == [504, 504]
    assert len(rig.traffic) == 0


async def test_what_is_sent_ahead_of_a_refusal_is_answered_after_it(make: Make) -> None:
    rig = await make(limits=GatewayLimits(wait_s=0.2))
    client = await rig.client()
    ahead = b"".join(b"GET /web/none/%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(3000))
    client.say(b"GET / HTTP/1.1\r\nHost: label.localhost\r\n\r\n" + ahead)
    assert status(await client.until(b"}")) == 504
    for _ in range(3000):
        assert status(await client.until(b"}")) == 404
    await client.close()


async def test_who_waits_is_served_once_there_is_a_container(rig: GatewayRig) -> None:
    waiting = [asyncio.create_task(rig.get(b"/%d" % number)) for number in range(5)]
    await until(lambda: len(rig.traffic) == 5, "all wait")
    await rig.container(ok())
    assert [status(answer) for answer in await asyncio.gather(*waiting)] == [200] * 5
    await rig.settled()


async def test_a_container_has_no_more_requests_than_it_has_room_for(make: Make) -> None:
    rig = await make(slots=2)
    go, most = asyncio.Event(), 0

    async def answer(visit: Visit) -> None:
        nonlocal most
        while await visit.head():
            most = max(most, rig.members["co-1"].requests)
            await go.wait()
            visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    await rig.container(answer)
    asked = [asyncio.create_task(rig.get()) for _ in range(7)]
    await until(lambda: len(rig.traffic) == 5, "the others wait")
    go.set()
    assert [status(one) for one in await asyncio.gather(*asked)] == [200] * 7
    assert most == 2


async def test_who_goes_away_while_waiting_waits_no_more(rig: GatewayRig) -> None:
    client = await rig.client()
    client.say(b"GET / HTTP/1.1\r\nHost: label.localhost\r\n\r\n")
    await until(lambda: len(rig.traffic) == 1, "it waits")
    await client.close()
    await until(lambda: len(rig.traffic) == 0, "it waits no more")


async def test_an_app_that_does_not_answer_is_given_up_after_its_timeout(make: Make) -> None:
    rig = await make()

    async def answer(visit: Visit) -> None:
        await visit.head()
        await visit.reader.read()

    origin = await rig.container(answer)
    late = await rig.get()  # the function's timeout is 2 s
    assert (status(late), problem(late)["code"]) == (504, "endpoint_timeout")
    await until(lambda: origin.visits[0].gone, "the container hears of it")


async def test_a_stopping_server_takes_nothing_new_and_ends_what_it_has(rig: GatewayRig) -> None:
    go = asyncio.Event()

    async def answer(visit: Visit) -> None:
        while await visit.head():
            await go.wait()
            visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin = await rig.container(answer)
    idle = await rig.client()
    busy = await rig.client()
    busy.say(b"GET / HTTP/1.1\r\nHost: label.localhost\r\n\r\n")
    await until(lambda: bool(origin.heads), "it is with the container")
    rig.gateway.close()
    assert await idle.rest() == b""
    refused = await rig.get()
    assert (status(refused), problem(refused)["code"]) == (503, "unavailable")
    go.set()
    assert b"Connection: close" in await busy.until(b"ok")
    await idle.close()
    await busy.close()
