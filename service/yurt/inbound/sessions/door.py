"""The door for containers: their session, and the source of their function."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeAlias

import msgspec
import structlog
from aiohttp import WSMessage, WSMsgType, web

from yurt.domain.errors import Malformed, Unauthenticated, Unavailable, YurtError
from yurt.domain.naming import shown
from yurt.inbound.sessions.link import SessionLink
from yurt.pools.lives import Lives
from yurt.pools.members import Member
from yurt.pools.pool import Pool
from yurt.pools.sessions import SessionRefused, Sessions
from yurt_runner import wire

HELLO_TIMEOUT_S = 10.0
log = structlog.get_logger(__name__)

Plain: TypeAlias = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]
"""A handler: given the request and the parameters of its path."""


class SessionDoor:
    """Handlers of the two routes that containers use."""

    def __init__(self, sessions: Sessions, lives: Lives) -> None:
        self._sessions = sessions
        self._lives = lives

    def routes(self) -> Iterator[tuple[str, str, Plain]]:
        """Method, path and handler of each route, for the door that serves them."""
        yield "GET", "/v1/containers/{container_id}/session", self.session
        yield "GET", "/v1/containers/self/source", self.source

    async def source(self, request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        """The source of the asking container's own function."""
        try:
            container_id = request.headers.get("Yurt-Container", "")
            member = (await self._sessions.authenticate(container_id, _credential(request)))[1]
            data = await self._sessions.source(member)
        except Unauthenticated as error:
            return _refusal(401, error)
        except Unavailable as error:
            return _refusal(503, error)
        except YurtError as error:
            return _refusal(404, error)
        return web.Response(body=data, content_type="application/zip")

    async def session(self, request: web.BaseRequest, path: Mapping[str, str]) -> web.StreamResponse:
        """One session, from its upgrade to its end."""
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if wire.PROTOCOL not in [name.strip() for name in offered.split(",")]:
            return _refusal(400, Malformed(f"This server speaks {wire.PROTOCOL}, and was offered {shown(offered)}."))
        credential = _credential(request)
        try:
            pool, member = await self._sessions.authenticate(path["container_id"], credential)
        except Unauthenticated as error:
            return _refusal(401, error)
        except Unavailable as error:
            return _refusal(503, error)
        socket = web.WebSocketResponse(protocols=(wire.PROTOCOL,), max_msg_size=wire.MAX_MESSAGE_BYTES, compress=False)
        await socket.prepare(request)
        link = SessionLink(socket, request.transport, member.id)
        sender = asyncio.create_task(link.run(), name=f"session-{member.id}")
        try:
            await self._serve(socket, link, pool, member, credential)
        except (SessionRefused, wire.ProtocolError) as error:
            log.warning("session_refused", container_id=member.id, reason=str(error))
            await socket.close(code=1002, message=str(error).encode()[:120])
        finally:
            link.stop()
            sender.cancel()
            if member.link is link:
                self._lives.disconnected(pool, member)
            await asyncio.gather(sender, return_exceptions=True)
        return socket

    async def _serve(
        self, socket: web.WebSocketResponse, link: SessionLink, pool: Pool, member: Member, credential: str
    ) -> None:
        first = await self._first(socket)
        if first is None:
            return
        frames = wire.unpack(first)
        if not frames or frames[0].kind != wire.HELLO:
            raise wire.ProtocolError("A session begins with hello.")
        await self._sessions.hello(pool, member, frames[0].header(), link, credential)
        self._sessions.frames(pool, member, frames[1:])
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                raise wire.ProtocolError("A session carries binary messages.")
            if member.link is not link:
                return
            self._sessions.frames(pool, member, wire.unpack(message.data))

    @staticmethod
    async def _first(socket: web.WebSocketResponse) -> bytes | None:
        try:
            message: WSMessage = await socket.receive(timeout=HELLO_TIMEOUT_S)
        except TimeoutError as error:
            raise wire.ProtocolError(f"No hello within {HELLO_TIMEOUT_S:.0f} s.") from error
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
            return None
        raise wire.ProtocolError("A session carries binary messages.")


def _credential(request: web.BaseRequest) -> str:
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def _refusal(status: int, error: YurtError) -> web.Response:
    body = msgspec.json.encode(
        {"type": f"/docs/errors#{error.reason}", "title": error.title, "status": status, "detail": error.detail}
    )
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return web.Response(status=status, body=body, content_type="application/problem+json", headers=headers)
