"""The gateway between real connections: clients that the test plays, and containers that are servers of the test."""

import asyncio
import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.waiting import until
from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.records import Container, ContainerState
from yurt.domain.web import Kind, Web
from yurt.inbound.gateway.gateway import Gateway
from yurt.inbound.gateway.limits import GatewayLimits
from yurt.inbound.gateway.requests import Sites
from yurt.logging import RequestLog
from yurt.pools.members import Member
from yurt.pools.traffic import Traffic
from yurt.ports import Address

Answer = Callable[["Visit"], Any]


class NoLink:
    """A session of which nothing is asked."""

    def send(self, frame: bytes) -> None:
        """Nobody hears it."""

    def flush(self) -> None:
        """Nothing waits."""

    def acknowledge(self, seq: int, token: int) -> None:
        """Nobody hears it."""

    def close(self, reason: str) -> None:
        """It is not open."""


@dataclass
class Visit:
    """One connection to a container, as the container sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heads: list[bytes] = field(default_factory=list)
    gone: bool = False

    async def head(self) -> bytes:
        """The next head; empty at the end."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        self.heads.append(head)
        return head

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)


@dataclass
class Origin:
    """A container: a server whose every request `answer` answers."""

    member: Member
    server: asyncio.Server
    visits: list[Visit]

    @property
    def heads(self) -> list[bytes]:
        """Of all requests so far."""
        return [head for visit in self.visits for head in visit.heads]


def ok(body: bytes = b"ok") -> Answer:
    """Answers every request with that body, and keeps the connection."""

    async def answer(visit: Visit) -> None:
        while await visit.head():
            visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    return answer


def once(data: bytes) -> Answer:
    """Answers with these bytes, and closes."""

    async def answer(visit: Visit) -> None:
        if await visit.head():
            visit.say(data)

    return answer


@dataclass
class GatewayRig:
    """See the module. One function, `label`, with any number of containers."""

    limits: GatewayLimits = field(default_factory=GatewayLimits)
    slots: int = 10
    kind: Kind = Kind.ASGI
    requires_auth: bool = False
    trusted: tuple[Any, ...] = ()
    tokens: Any = None

    members: dict[str, Member] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    scaled: int = 0
    seen: list[tuple[str, int]] = field(default_factory=list)
    port: int = 0

    async def open(self) -> "GatewayRig":
        """Begin to serve."""
        loop = asyncio.get_running_loop()
        web = Web(self.kind, "label", requires_auth=self.requires_auth)
        self.live = LiveFunction("fu-1", "ap-1", "main", "app", "fn", 1, "m:f", None, Scaling(), web=web, timeout_s=2)
        self.traffic = Traffic(
            self.members,
            now=loop.time,
            scale=self._scale,
            left=lambda member: self.left.append(member.id),
            dead=lambda member: self.dead.append(member.id),
        )
        self.log = io.StringIO()
        self.gateway = Gateway(
            find=lambda label: self.live if label == "label" else None,
            traffic=lambda _: self.traffic,
            tick=self.traffic.pump,
            tokens=self.tokens,
            log=RequestLog.to(self.log, "json"),
            observe=lambda operation, status, _: self.seen.append((operation, status)),
            limits=self.limits,
            trusted=self.trusted,
            look_s=0.05,
        )
        sites = Sites(b"localhost", by_path=True)
        self._server = await loop.create_server(lambda: self.gateway.front(sites), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._watch = asyncio.create_task(self.gateway.watch())
        return self

    def _scale(self) -> None:
        self.scaled += 1

    async def close(self) -> None:
        """End everything."""
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        self._server.close()
        await self.gateway.stop()
        for origin in self.origins:
            origin.server.close()
            for visit in origin.visits:
                visit.writer.close()
        await self._server.wait_closed()

    async def container(self, answer: Answer, *, port: int | None = None) -> Origin:
        """A container that is ready."""
        visits: list[Visit] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            visits.append(visit := Visit(reader, writer))
            try:
                with suppress(ConnectionError, asyncio.CancelledError):
                    await answer(visit)
            finally:
                visit.gone = True
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        number = len(self.origins) + 1
        record = Container(f"co-{number}", "fu-1", 1, "local", ContainerState.READY, 1.0, "00", ready_at=1.0)
        member = Member(record, self.live, 0.0)
        member.slots = self.slots
        member.link = NoLink()
        member.address = Address("127.0.0.1", port or server.sockets[0].getsockname()[1])
        self.members[member.id] = member
        self.origins.append(origin := Origin(member, server, visits))
        self.traffic.pump()
        return origin

    async def client(self) -> "Client":
        """A connection of a client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Client(reader, writer)

    async def ask(self, data: bytes) -> bytes:
        """Everything that is said to these bytes, until the connection closes."""
        client = await self.client()
        client.say(data)
        try:
            return await client.rest()
        finally:
            await client.close()

    async def get(self, path: bytes = b"/", more: bytes = b"", method: bytes = b"GET") -> bytes:
        """One request of its own connection, by host."""
        return await self.ask(
            method + b" " + path + b" HTTP/1.1\r\nHost: label.localhost\r\n" + more + b"Connection: close\r\n\r\n"
        )

    async def settled(self) -> None:
        """No container has a request any more."""
        await until(lambda: not any(member.requests for member in self.members.values()), "no requests")


@dataclass
class Client:
    """A client's end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def until(self, end: bytes) -> bytes:
        """What comes, up to these bytes."""
        async with asyncio.timeout(10):
            return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        """What comes until the end; a reset is an end."""
        pieces = []
        async with asyncio.timeout(20):
            with suppress(ConnectionError):
                while piece := await self.reader.read(1 << 20):
                    pieces.append(piece)
        return b"".join(pieces)

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
