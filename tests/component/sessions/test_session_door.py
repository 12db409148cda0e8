"""The door for containers, dialled by runners that lie, stammer and fall silent."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.component.pools.rig import Rig
from tests.component.sessions.conftest import Client
from tests.waiting import until
from yurt.inbound.sessions import door, link
from yurt.ports import ContainerSpec
from yurt_runner import wire

INSTANCE = "instance-number-one"
ANSWERS_S = 30


@dataclass
class Runner:
    """A container's end of a session."""

    socket: aiohttp.ClientWebSocketResponse
    frames: list[wire.Frame] = field(default_factory=list)

    async def send(self, kind: int, seq: int = 0, token: int = 0, payload: bytes = b"", **meta: Any) -> None:
        await self.socket.send_bytes(wire.pack(kind, seq, token, payload, meta=wire.meta(**meta)))

    async def hear(self, kind: int) -> wire.Frame:
        """The next frame of a kind; others before it are kept in `frames`."""
        async with asyncio.timeout(ANSWERS_S):
            while True:
                for at, frame in enumerate(self.frames):
                    if frame.kind == kind:
                        return self.frames.pop(at)
                message = await self.socket.receive()
                assert message.type is WSMsgType.BINARY, message
                self.frames += wire.unpack(message.data)

    async def closed(self) -> tuple[int | None, str]:
        """Wait for the end of the session; its code and reason."""
        async with asyncio.timeout(ANSWERS_S):
            while True:
                message = await self.socket.receive()
                if message.type is WSMsgType.CLOSE:
                    return message.data, message.extra or ""
                if message.type in {WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR}:
                    return self.socket.close_code, ""


async def spec(rig: Rig) -> ContainerSpec:
    """A container that was asked for and has not called yet."""
    await rig.deploy(min_containers=1)
    await rig.scale()
    return rig.engine.started[-1]


async def dial(
    client: Client, container_id: str, credential: str, protocols: Iterable[str] = (wire.PROTOCOL,)
) -> Runner:
    """Open a session, without a hello."""
    return Runner(
        await client.ws_connect(
            f"/v1/containers/{container_id}/session",
            protocols=tuple(protocols),
            headers={"Authorization": f"Bearer {credential}"},
            autoclose=True,
        )
    )


async def greeted(client: Client, container: ContainerSpec, instance: str = INSTANCE, **said: Any) -> Runner:
    """Open a session and say hello."""
    runner = await dial(client, container.container_id, container.start_token)
    await runner.send(wire.HELLO, **{"protocol": wire.PROTOCOL, "instance": instance, "holds": [], **said})
    return runner


async def refused(client: Client, container_id: str, credential: str, protocol: str) -> tuple[int, dict[str, Any]]:
    """Ask for an upgrade that is refused: status and problem."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": protocol,
        "Authorization": f"Bearer {credential}",
    }
    async with client.get(f"/v1/containers/{container_id}/session", headers=headers) as answer:
        assert answer.content_type == "application/problem+json"
        return answer.status, json.loads(await answer.text())


@pytest.mark.parametrize("protocol", ["yurt.9", "", "chat, yurt.2"])
async def test_another_subprotocol_is_refused_with_the_one_that_is_known(
    rig: Rig, client: Client, protocol: str
) -> None:
    container = await spec(rig)
    status, said = await refused(client, container.container_id, container.start_token, protocol)
    assert (status, said["type"]) == (400, "/docs/errors#malformed")
    assert wire.PROTOCOL in said["detail"]


async def test_a_wrong_credential_ends_before_the_upgrade(rig: Rig, client: Client) -> None:
    await rig.deploy(min_containers=2)
    await rig.scale()
    one, two = rig.engine.started
    for container_id, credential in (
        (one.container_id, "nothing"),
        (one.container_id, ""),
        (one.container_id, two.start_token),  # a container that claims to be another
        ("co-unknown", one.start_token),
    ):
        status, said = await refused(client, container_id, credential, wire.PROTOCOL)
        assert (status, said["type"]) == (401, "/docs/errors#unauthenticated")


async def test_a_session_without_a_hello_ends(rig: Rig, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HELLO_TIMEOUT_S", 0.05)
    container = await spec(rig)
    silent = await dial(client, container.container_id, container.start_token)
    assert await silent.closed() == (1002, "No hello within 0 s.")


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"\x00", "a message ends inside a frame's head"),
        (b"\xff" * 64, "a message ends inside a frame"),
        (wire.pack(wire.HELLO, meta=b'{"protocol"')[:-3], "a message ends inside a frame"),
        (wire.pack(wire.HELLO, meta=b"not json"), "a frame's meta part is not JSON"),
        (wire.pack(wire.HELLO, meta=b"[]"), "a frame's meta part is not a JSON object"),
        (wire.pack(wire.HELLO, meta=b"[" * 100_000), "a frame's meta part is not JSON"),
        (wire.pack(wire.HELLO, meta=b'"\xff"'), "a frame's meta part is not JSON"),
        (wire.pack(wire.READY), "A session begins with hello."),
        (b"", "A session begins with hello."),
    ],
)
async def test_a_first_message_that_makes_no_sense_ends_the_session(
    rig: Rig, client: Client, first: bytes, reason: str
) -> None:
    container = await spec(rig)
    runner = await dial(client, container.container_id, container.start_token)
    await runner.socket.send_bytes(first)
    assert await runner.closed() == (1002, reason)
    again = await greeted(client, container)
    await again.hear(wire.WELCOME)


@pytest.mark.parametrize("greet", [False, True])
async def test_text_ends_the_session(rig: Rig, client: Client, *, greet: bool) -> None:
    container = await spec(rig)
    runner = await dial(client, container.container_id, container.start_token)
    if greet:
        runner = await greeted(client, container)
        await runner.hear(wire.WELCOME)
    await runner.socket.send_str("hello")
    assert await runner.closed() == (1002, "A session carries binary messages.")


async def test_another_protocol_in_the_hello(rig: Rig, client: Client) -> None:
    runner = await greeted(client, await spec(rig), protocol="yurt.2")
    code, reason = await runner.closed()
    assert code == 1002
    assert wire.PROTOCOL in reason
    assert "yurt.2" in reason


async def test_another_instance_is_refused_and_the_first_goes_on(rig: Rig, client: Client) -> None:
    container = await spec(rig)
    first = await greeted(client, container)
    await first.hear(wire.WELCOME)
    second = await greeted(client, container, "instance-number-two")
    code, reason = await second.closed()
    assert (code, "Another instance" in reason) == (1002, True)
    await first.send(wire.READY, slots=1, startup_s=0.1)
    item = await rig.call()
    assert (await first.hear(wire.INPUT)).seq == item.seq


async def test_the_same_instance_replaces_its_connection(rig: Rig, client: Client) -> None:
    container = await spec(rig)
    first = await greeted(client, container)
    await first.hear(wire.WELCOME)
    second = await greeted(client, container)
    await second.hear(wire.WELCOME)
    _, reason = await first.closed()
    assert reason == "replaced"
    await second.send(wire.READY, slots=1, startup_s=0.1)
    item = await rig.call()
    assert (await second.hear(wire.INPUT)).seq == item.seq


async def test_nonsense_in_an_open_session_costs_that_session_alone(rig: Rig, client: Client) -> None:
    container = await spec(rig)
    runner = await greeted(client, container)
    await runner.hear(wire.WELCOME)
    await runner.socket.send_bytes(wire.pack(wire.BEAT)[:-1])
    assert await runner.closed() == (1002, "a message ends inside a frame's head")
    again = await greeted(client, container)
    await again.hear(wire.WELCOME)


async def test_frames_that_are_not_known_are_ignored(rig: Rig, client: Client) -> None:
    runner = await greeted(client, await spec(rig))
    await runner.hear(wire.WELCOME)
    for kind in (0, 99, 255, wire.WELCOME):
        await runner.send(kind, 7, 7, b"x", some="thing")
    await runner.send(wire.READY, slots=1, startup_s=0.1)
    item = await rig.call()
    assert (await runner.hear(wire.INPUT)).seq == item.seq


@pytest.mark.parametrize("kind", [wire.READY, wire.FAILED, wire.STARTED, wire.OUTPUT, wire.LOG, wire.BEAT, wire.BYE])
@pytest.mark.parametrize("meta", [b"nonsense", b"[]", b'{"reason": "\\ud800\\u0000", "for_s": 1e999, "slots": -1}'])
async def test_a_meta_part_that_makes_no_sense_breaks_nothing(rig: Rig, client: Client, kind: int, meta: bytes) -> None:
    runner = await greeted(client, await spec(rig))
    await runner.hear(wire.WELCOME)
    await runner.socket.send_bytes(wire.pack(kind, 1, 1, b"\xff[", meta=meta))
    await runner.send(wire.HELLO)
    await rig.settle()
    await runner.send(wire.OUTPUT, 12345, 678, b"null", run_s=0.1)
    await runner.hear(wire.ACK)


async def test_an_output_for_an_attempt_it_never_had_is_acknowledged_and_dropped(rig: Rig, client: Client) -> None:
    container = await spec(rig)
    runner = await greeted(client, container)
    await runner.hear(wire.WELCOME)
    await runner.send(wire.READY, slots=1, startup_s=0.1)
    item = await rig.call()
    given = await runner.hear(wire.INPUT)
    await runner.send(wire.OUTPUT, item.seq, given.token + 1, b'"forged"', run_s=0.1)
    await runner.send(wire.OUTPUT, 12345, 678, b'"forged"', run_s=0.1)
    acked = (await runner.hear(wire.ACK)).payload
    while len(acked) < 2 * wire.PAIR.size:
        acked += (await runner.hear(wire.ACK)).payload
    assert set(wire.PAIR.iter_unpack(acked)) == {(item.seq, given.token + 1), (12345, 678)}
    await runner.send(wire.OUTPUT, item.seq, given.token, b'"true"', run_s=0.1)
    kept = (await rig.result(item)).value
    assert kept is not None
    assert kept.data == b'"true"'


async def test_source_needs_the_containers_own_credential(rig: Rig, client: Client) -> None:
    bundle = await rig.blobs.put(b"PK source")
    pool = await rig.deploy(min_containers=1)
    await rig.scale()
    container = rig.engine.started[0]

    async def ask(container_id: str, credential: str) -> tuple[int, bytes]:
        headers = {"Yurt-Container": container_id, "Authorization": f"Bearer {credential}"}
        async with client.get("/v1/containers/self/source", headers=headers) as answer:
            return answer.status, await answer.read()

    assert (await ask(container.container_id, container.start_token))[0] == 404  # it has none
    for member in pool.members.values():
        member.function = member.function.__class__(**{**_fields(member.function), "source_bundle": bundle})
    assert await ask(container.container_id, container.start_token) == (200, b"PK source")
    assert (await ask(container.container_id, "nothing"))[0] == 401
    assert (await ask("co-unknown", container.start_token))[0] == 401
    assert (await ask("", ""))[0] == 401


def _fields(function: Any) -> dict[str, Any]:
    return {name: getattr(function, name) for name in function.__dataclass_fields__}


async def test_frames_of_every_size_arrive_whole_and_in_their_order(rig: Rig, client: Client) -> None:
    container = await spec(rig)
    runner = await greeted(client, container)
    await runner.hear(wire.WELCOME)
    entry = rig.lives.get(container.container_id)
    assert entry is not None
    held = entry[1].link
    assert held is not None
    sizes = [0, 97, 98, 1 << 10, 32 << 10, 1 << 20, 5, 100 << 10, 31 << 10, 7]  # 98: the first head of two bytes more
    for seq, size in enumerate(sizes):
        held.send(wire.pack(wire.CANCEL, seq, payload=bytes(size)))
        if seq % 3 == 0:
            held.flush()
        if seq % 2 == 0:
            await asyncio.sleep(0)
        held.acknowledge(seq, 1)
    heard = [await runner.hear(wire.CANCEL) for _ in sizes]
    assert [(frame.seq, len(frame.payload)) for frame in heard] == list(enumerate(sizes))
    acked: list[int] = []
    while len(acked) < len(sizes):
        ack = await runner.hear(wire.ACK)
        acked += [seq for seq, _ in wire.PAIR.iter_unpack(ack.payload)]
    assert acked == list(range(len(sizes)))


async def test_a_runner_that_does_not_read_is_disconnected(
    rig: Rig, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "MAX_WAITING_BYTES", 8 << 20)
    container = await spec(rig)
    runner = await greeted(client, container)
    await runner.hear(wire.WELCOME)
    entry = rig.lives.get(container.container_id)
    assert entry is not None
    held = entry[1].link
    assert isinstance(held, link.SessionLink)
    for _ in range(64):  # 64 MiB: far more than the sockets of both ends take
        held.send(wire.pack(wire.RECALL, payload=bytes(1 << 20)))
        await asyncio.sleep(0)
        assert held._waiting_bytes <= (9 << 20)
    assert held._closed == "the container does not read"
    await runner.socket.close()
    await until(lambda: entry[1].link is None, "the end of the session")


async def test_a_message_that_cannot_be_sent_in_time_breaks_the_session(
    rig: Rig, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SEND_TIMEOUT_S", 0.05)
    container = await spec(rig)
    runner = await greeted(client, container)
    await runner.hear(wire.WELCOME)
    entry = rig.lives.get(container.container_id)
    assert entry is not None
    held = entry[1].link
    assert isinstance(held, link.SessionLink)
    while held._closed is None:
        held.send(wire.pack(wire.RECALL, payload=bytes(1 << 20)))
        await asyncio.sleep(0.01)
    assert held._closed == "broken"
    await runner.socket.close()
    await until(lambda: entry[1].link is None, "the end of the session")


async def test_a_shutdown_closes_the_session(rig: Rig, client: Client) -> None:
    container = await spec(rig)
    runner = await greeted(client, container)
    await runner.hear(wire.WELCOME)
    entry = rig.lives.get(container.container_id)
    assert entry is not None
    await asyncio.gather(client.server.close(), runner.closed())
    assert entry[1].link is None
