"""A control plane for one container: it speaks the session and remembers everything it heard."""

import asyncio
import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import WSMsgType, web

from tests.waiting import until
from yurt_runner import wire

START_TOKEN = "start-token-of-the-test"
RECONNECT_TOKEN = "reconnect-token-of-the-test"


def zip_of(files: Mapping[str, str]) -> bytes:
    """Source files as the archive that travels."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


class FakeServer:
    """See the module.

    Attributes:
        frames: everything from the runner, in order, over all connections.
        hellos: the meta part of each HELLO.
        credentials: the token of each upgrade.
        tokens: which of them are accepted.
        auto_ack: acknowledge outputs as they come.
        auto_credit: say of items that they are stored, as they come, and let their generator go on.
        most: how many items a generator may yield at most.
        items: what generators yielded, by seq.
        answer: an HTTP status instead of the upgrade.
        subprotocols: what the server agrees to.
        mute: do not answer HELLO.
    """

    def __init__(self) -> None:
        self.container_id = f"co-{os.urandom(8).hex()}"  # a runner ends whatever bears its id
        self.frames: list[wire.Frame] = []
        self.hellos: list[dict[str, Any]] = []
        self.credentials: list[str] = []
        self.tokens = {START_TOKEN, RECONNECT_TOKEN}
        self.auto_ack = self.auto_credit = True
        self.most = sys.maxsize
        self.items: dict[int, list[Any]] = {}
        self.answer: int | None = None
        self.subprotocols: tuple[str, ...] = (wire.PROTOCOL,)
        self.mute = False
        self.welcome: dict[str, Any] = {}
        self.archive = b""
        self.inline = True
        self.socket: web.WebSocketResponse | None = None
        self.connections = 0
        self.closes = 0
        self.port = 0
        self._request: web.Request | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/containers/self/source", self._source)
        app.router.add_get("/v1/containers/{id}/session", self._session)
        return app

    def define(self, files: Mapping[str, str] | None, entrypoint: str, **welcome: Any) -> None:
        """What the container is to run."""
        self.archive = zip_of(files) if files is not None else b""
        source = {"sha256": hashlib.sha256(self.archive).hexdigest(), "size": len(self.archive)}
        self.welcome = {
            "reconnect_token": RECONNECT_TOKEN,
            "environment": "main",
            "app": "demo",
            "function": "f",
            "revision": 7,
            "function_id": "fu-0000000test",
            "entrypoint": entrypoint,
            "kind": "function",
            "timeout_s": 300,
            "startup_timeout_s": 300,
            "memory_mib": 512,
            "env": {},
            "source": source if files is not None else None,
            "interpreter_hint": "--python",
            "slots": 1,
            "cancel_grace_s": 5,
            "beat_s": 3,
            **welcome,
        }

    async def _source(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bearer {RECONNECT_TOKEN}":
            return web.Response(status=401)
        assert request.headers["Yurt-Container"] == self.container_id
        return web.Response(body=self.archive)

    async def _session(self, request: web.Request) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.credentials.append(token)
        if self.answer:
            return web.Response(status=self.answer, text="a reason in words")
        if token not in self.tokens or request.match_info["id"] != self.container_id:
            return web.Response(status=401, text="no such container, or not this token")
        socket = web.WebSocketResponse(protocols=self.subprotocols, max_msg_size=wire.MAX_MESSAGE_BYTES, compress=False)
        await socket.prepare(request)
        self.socket, self._request = socket, request
        self.connections += 1
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await self._take(wire.unpack(message.data))
        self.closes += 1
        if self.socket is socket:
            self.socket = None
        return socket

    async def _take(self, frames: list[wire.Frame]) -> None:
        for frame in frames:
            self.frames.append(frame)
            if frame.kind == wire.HELLO:
                self.hellos.append(frame.header())
                if not self.mute:
                    await self.send_welcome()
            if frame.kind == wire.ITEM:
                await self._store(frame)
            if frame.kind == wire.OUTPUT and self.auto_ack:
                await self.ack((frame.seq, frame.token))

    async def _store(self, frame: wire.Frame) -> None:
        said, kept = frame.header(), self.items.setdefault(frame.seq, [])
        if said["first"] == len(kept):
            kept += map(json.loads, frame.payload.split(b"\n"))
            assert said["first"] + said["count"] == len(kept)
        assert said["first"] <= len(kept), "a gap"
        if self.auto_credit:
            await self.credit(frame.seq)

    async def credit(self, seq: int) -> None:
        """Say that all items of the input are stored."""
        items, size = len(self.items[seq]), sum(len(json.dumps(one)) + 1 for one in self.items[seq])
        window = (min(items + wire.ITEM_WINDOW, self.most), size + wire.ITEM_WINDOW_BYTES)
        await self.send(wire.pack(wire.CREDIT, seq, seq + 1000, wire.CREDITED.pack(items, *window)))

    async def send_welcome(self) -> None:
        payload = self.archive if self.inline else b""
        await self.send(wire.pack(wire.WELCOME, payload=payload, meta=wire.meta(**self.welcome)))

    async def send(self, *frames: bytes) -> None:
        assert self.socket is not None
        await self.socket.send_bytes(b"".join(frames))

    async def input(self, seq: int, *args: Any, token: int | None = None, **kwargs: Any) -> None:
        await self.send(self.input_frame(seq, *args, token=token, **kwargs))

    @staticmethod
    def input_frame(seq: int, *args: Any, token: int | None = None, **kwargs: Any) -> bytes:
        head = wire.meta(number=1, call_id=f"fc-{seq}", input_id=f"in-{seq}", metadata={"who": "test"})
        payload = json.dumps({"args": args, "kwargs": kwargs}).encode()
        return wire.pack(wire.INPUT, seq, token or seq + 1000, payload, meta=head)

    async def ack(self, *keys: tuple[int, int]) -> None:
        if self.socket is not None and not self.socket.closed:
            await self.send(wire.pack(wire.ACK, payload=b"".join(wire.PAIR.pack(*key) for key in keys)))

    async def cancel(self, seq: int, *, grace_s: float = 5.0) -> None:
        await self.send(wire.pack(wire.CANCEL, seq, seq + 1000, meta=wire.meta(grace_s=grace_s)))

    async def drain(self, *, grace_s: float = 30.0) -> None:
        await self.send(wire.pack(wire.DRAIN, meta=wire.meta(grace_s=grace_s, reason="test")))

    def drop(self) -> None:
        """Cut the connection without a word."""
        assert self._request is not None
        assert self._request.transport is not None
        self._request.transport.abort()

    def heard(self, kind: int, seq: int | None = None) -> list[wire.Frame]:
        return [frame for frame in self.frames if frame.kind == kind and seq in {None, frame.seq}]

    async def frame(self, kind: int, seq: int | None = None, *, within_s: float = 30) -> wire.Frame:
        """The first frame of that kind, waited for."""
        await until(lambda: self.heard(kind, seq), f"frame {kind} of {seq}, got {self.summary()}", within_s=within_s)
        return self.heard(kind, seq)[0]

    async def result(self, seq: int, *, within_s: float = 30) -> tuple[str, Any]:
        """Outcome and value or error of an input."""
        frame = await self.frame(wire.OUTPUT, seq, within_s=within_s)
        return wire.OUTCOMES[frame.flags], json.loads(frame.payload or b"null")

    async def call(self, seq: int, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        await self.input(seq, *args, **kwargs)
        return await self.result(seq)

    async def failure(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Meta part and error of FAILED."""
        frame = await self.frame(wire.FAILED)
        return frame.header(), json.loads(frame.payload)

    def lines(self) -> list[tuple[str, int, str]]:
        """(stream, seq, text) of every line of log."""
        rows = [row for frame in self.heard(wire.LOG) for row in json.loads(frame.payload)]
        return [(stream, seq, text) for _, stream, seq, _, text in rows]

    async def line(self, wanted: Callable[[tuple[str, int, str]], object]) -> tuple[str, int, str]:
        await until(lambda: any(wanted(line) for line in self.lines()), "a line of log")
        return next(line for line in self.lines() if wanted(line))

    def summary(self) -> list[tuple[int, int]]:
        return [(frame.kind, frame.seq) for frame in self.frames]


async def closed(server: FakeServer) -> None:
    """Return once the runner's connection is gone."""
    await until(lambda: server.socket is None, "the end of the connection")
    await asyncio.sleep(0)
