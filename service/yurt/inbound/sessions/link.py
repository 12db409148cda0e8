"""The server's end of a container's session: frames of one turn of the loop leave in one message."""

import asyncio
from collections.abc import Iterable

import structlog
from aiohttp import web

from yurt_runner import wire

MESSAGE_BYTES = 1 << 20
"""Frames are put together up to this size: a message has a limit, and two large frames together would be above it."""

SHORT_BYTES = 32 << 10
"""Up to so much is written at once, if nothing is on its way."""

ACK_DELAY_S = 0.05
"""How long an acknowledgement waits for inputs to ride with, in seconds."""

SEND_TIMEOUT_S = 30.0
MAX_WAITING_BYTES = 256 << 20
"""A runner that does not read for so long, or lets so much pile up, is disconnected; it dials again."""

log = structlog.get_logger(__name__)


class SessionLink:
    """Sends frames: a few at once, many from a task of its own, so that a slow container holds up nobody else.

    Args:
        socket: the open WebSocket.
        transport: of its connection.
        container_id: for logs.
    """

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.WriteTransport | None, container_id: str
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._armed = False
        self._container_id = container_id
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self._acks: list[bytes] = []
        self._wake = asyncio.Event()
        self._closed: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._watch: asyncio.TimerHandle | None = None
        self._sending_since: float | None = None

    def send(self, frame: bytes) -> None:
        """Send a frame soon; nothing happens once the session is closed."""
        if self._closed is not None:
            return
        self._frames.append(frame)
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.close("the container does not read")
        elif not self._armed:
            self._armed = True
            self._loop.call_soon(self._turn)

    def acknowledge(self, seq: int, token: int) -> None:
        """Say that an output is committed, with the next frames or soon."""
        self._acks.append(wire.PAIR.pack(seq, token))
        if self._timer is None:
            self._timer = self._loop.call_later(ACK_DELAY_S, self._late)

    def flush(self) -> None:
        """Send what waits now, and not at the end of the turn, if it is little and nothing is on its way."""
        size, transport = self._waiting_bytes, self._transport
        if self._sending_since is not None or transport is None or size > SHORT_BYTES or self._socket.closed:
            return
        if transport.is_closing() or transport.get_write_buffer_size():
            return
        for message in self._take():
            transport.write(_head(len(message)) + message)
        self._waiting_bytes = 0

    def _late(self) -> None:
        """No acknowledgement waits for longer. One timer serves all until then: most have left with inputs."""
        self._timer = None
        if self._acks:
            self._turn()

    def _turn(self) -> None:
        """The end of a turn in which there was something to send, or the time of what need not leave at once."""
        self._armed = False
        self.flush()
        if self._frames or self._acks:
            self._wake.set()

    def close(self, reason: str) -> None:
        """End the session after what waits was sent."""
        if self._closed is None:
            self._closed = reason
        self._wake.set()

    async def run(self) -> None:
        """Send what comes until the session is closed from here, or breaks."""
        try:
            async with self._limit:
                while self._closed is None or self._frames:
                    await self._wake.wait()
                    self._wake.clear()
                    for message in self._take():
                        await self._send(message)
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.close(message=self._closed.encode()[:120])
        except (ConnectionError, TimeoutError) as error:
            log.info("session_send_failed", container_id=self._container_id, error=str(error) or "it does not read")
            self._closed = self._closed or "broken"

    async def _send(self, message: bytes) -> None:
        self._sending_since = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_later(SEND_TIMEOUT_S, self._look)
        await self._socket.send_bytes(message)
        self._sending_since = None
        self._waiting_bytes -= len(message)

    def _look(self) -> None:
        """One timer for all messages of its time: a limit for each costs more than the sending of a small one."""
        self._watch = None
        if self._sending_since is not None:
            until = self._sending_since + SEND_TIMEOUT_S
            if until <= self._loop.time():
                self._limit.reschedule(until)
            else:
                self._watch = self._loop.call_at(until, self._look)

    def _take(self) -> Iterable[bytes]:
        frames, self._frames = self._frames, []
        if self._acks:
            acks = wire.pack(wire.ACK, payload=b"".join(self._acks))
            self._waiting_bytes += len(acks)
            frames.append(acks)
            self._acks.clear()
        return wire.messages(frames, MESSAGE_BYTES)

    def stop(self) -> None:
        """Forget the timers: the session is over."""
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
        self._timer = self._watch = None


def _head(size: int) -> bytes:
    """What precedes a whole binary message of a server (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((0x82, size))
    return b"\x82\x7e" + size.to_bytes(2, "big") if size < 65_536 else b"\x82\x7f" + size.to_bytes(8, "big")
