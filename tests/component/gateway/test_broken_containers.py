"""Containers that fail requests: who is tried again, and where."""

import asyncio
import socket

from tests.component.gateway.conftest import Make
from tests.component.gateway.rig import GatewayRig, Visit, ok, once
from tests.component.gateway.test_limits import problem, status
from yurt.domain.records import ContainerState
from yurt.domain.web import Kind
from yurt.pools.traffic import MAX_FAILURES, Away


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def slams(visit: Visit) -> None:
    """Reads a request, and hangs up."""
    await visit.head()


async def test_a_container_that_cannot_be_reached_is_passed_over(rig: GatewayRig) -> None:
    await rig.container(ok(b"dead"), port=unused_port())
    well = await rig.container(ok())
    for _ in range(5):
        assert status(await rig.get()) == 200
    posted = await rig.ask(
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    )
    assert status(posted) == 200, "nothing of it had been sent"
    assert len(well.heads) >= 6
    await rig.settled()


async def test_a_container_that_accepts_no_connections_is_given_up(rig: GatewayRig) -> None:
    await rig.container(ok(), port=unused_port())
    for _ in range(MAX_FAILURES // 2):  # each is tried twice
        assert status(await rig.get()) == 502
    assert "co-1" in rig.dead


async def test_what_changes_nothing_is_tried_once_elsewhere(rig: GatewayRig) -> None:
    broken = await rig.container(slams)
    well = await rig.container(ok())
    rig.members["co-2"].requests = 5  # so that the broken one is asked first
    assert status(await rig.get()) == 200
    assert (len(broken.heads), len(well.heads)) == (1, 1)
    refused = await rig.ask(
        b"POST / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    assert (status(refused), problem(refused)["code"]) == (502, "endpoint_failed")
    assert (len(broken.heads), len(well.heads)) == (2, 1), "a POST may have been done"


async def test_it_is_tried_once_and_not_for_ever(rig: GatewayRig) -> None:
    first, second = await rig.container(slams), await rig.container(slams)
    assert status(await rig.get()) == 502
    assert (len(first.heads), len(second.heads)) == (1, 1)
    await rig.settled()


async def test_the_only_container_gets_the_second_try_too(rig: GatewayRig) -> None:
    calls = 0

    async def answer(visit: Visit) -> None:
        nonlocal calls
        while await visit.head():
            calls += 1
            if calls == 2:
                return
            visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    await rig.container(answer)
    client = await rig.client()
    for _ in range(3):  # the second finds a connection that is closed under it
        client.say(b"GET / HTTP/1.1\r\nHost: label.localhost\r\n\r\n")
        assert status(await client.until(b"ok")) == 200
    await client.close()
    assert calls == 4


async def test_half_an_answer_is_not_passed_off_as_a_whole(rig: GatewayRig) -> None:
    await rig.container(once(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"))
    answer = await rig.get()
    assert answer.endswith(b"\r\n\r\nsome")
    await rig.container(once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"))
    rig.members.pop("co-1")
    answer = await rig.get()
    assert not answer.endswith(b"0\r\n\r\n")


async def test_what_is_no_http_is_a_failure(rig: GatewayRig) -> None:
    for number, said in enumerate(
        (b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nA\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"), 1
    ):
        await rig.container(once(said))
        assert status(await rig.get()) == 502, said
        rig.members.pop(f"co-{number}")


async def test_a_server_of_the_users_own_gets_a_new_connection_for_what_is_not_tried_again(make: Make) -> None:
    rig = await make(kind=Kind.WEB_SERVER)
    origin = await rig.container(ok())
    client = await rig.client()
    for method in (b"GET", b"GET", b"POST", b"POST", b"GET"):
        client.say(method + b" / HTTP/1.1\r\nHost: label.localhost\r\nContent-Length: 0\r\n\r\n")
        await client.until(b"ok")
    await client.close()
    assert len(origin.visits) == 3


async def test_a_container_that_leaves_gets_nothing_new_and_is_let_go_after_its_last(rig: GatewayRig) -> None:
    go = asyncio.Event()

    async def answer(visit: Visit) -> None:
        while await visit.head():
            await go.wait()
            visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    old = await rig.container(answer)
    first = asyncio.create_task(rig.get())
    while not old.heads:
        await asyncio.sleep(0.01)
    rig.members["co-1"].state = ContainerState.DRAINING
    new = await rig.container(ok())
    assert status(await rig.get()) == 200
    assert (len(old.heads), len(new.heads)) == (1, 1)
    assert rig.left == ["co-2"]
    go.set()
    assert status(await first) == 200
    assert rig.left == ["co-2", "co-1"]


async def test_who_waits_is_told_that_nothing_will_come(rig: GatewayRig) -> None:
    for why, wanted in ((Away.GONE, 404), (Away.BROKEN, 503)):
        waiting = asyncio.create_task(rig.get())
        while not len(rig.traffic):
            await asyncio.sleep(0.01)
        rig.traffic.turn_away(why)
        assert status(await waiting) == wanted
