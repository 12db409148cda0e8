"""A connection that has become a WebSocket: bytes, both ways."""

import asyncio
import socket
from collections.abc import Callable

ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""A peer that has vanished is noticed within two minutes, though neither end says a word."""

GOING_AWAY = b"\x88\x02\x03\xe9"
"""A close of a server with the code 1001 (RFC 6455, 7.4.1)."""


class Tunnel:
    """Both ends.

    Args:
        ended: called once when either is gone.
    """

    __slots__ = ("_client", "_container", "_ended")

    def __init__(self, client: asyncio.Transport, container: asyncio.Transport, ended: Callable[[], None]) -> None:
        self._client, self._container, self._ended = client, container, ended
        client.set_protocol(_End(self, container))
        container.set_protocol(_End(self, client))
        sock = client.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def close(self) -> None:
        """The server ends."""
        self._client.write(GOING_AWAY)
        self.lost()

    def lost(self) -> None:
        """One end is gone: what it said last still arrives at the other."""
        for transport in (self._client, self._container):
            if not transport.is_closing():
                transport.close()
        ended, self._ended = self._ended, _nothing
        ended()


def _nothing() -> None:
    """It has ended already."""


class _End(asyncio.Protocol):
    """One end: what it says goes to the other."""

    __slots__ = ("_other", "_tunnel")

    def __init__(self, tunnel: Tunnel, other: asyncio.Transport) -> None:
        self._tunnel, self._other = tunnel, other

    def data_received(self, data: bytes) -> None:
        if not self._other.is_closing():
            self._other.write(data)

    def pause_writing(self) -> None:
        if not self._other.is_closing():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self._tunnel.lost()
