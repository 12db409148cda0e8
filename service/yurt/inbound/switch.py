"""One port for two doors: each request goes to the gateway or to the REST door.

The first bytes of a connection tell whose it is, and it is theirs from then on: neither door costs the other anything.
Where a later request of the same connection is for the other door, the connection changes hands between the two.
"""

import asyncio
import re
from collections.abc import Callable
from typing import cast

from yurt.inbound.gateway.gateway import Gateway
from yurt.inbound.gateway.requests import Sites

MAX_HEAD_BYTES = 64 << 10
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]*)", re.IGNORECASE)
_LINE = re.compile(rb"[A-Z]{3,16} ([^ \r\n]+) HTTP/1\.[01]\r\n")
_BEGUN = re.compile(rb"[A-Z]{1,16}( [^ \r\n]*( [HTP/1.0\r]{0,9})?)?\Z")


class SharedPort:
    """Makes the connections of a port that both doors have. See `yurt.inbound.rest.server.Share`."""

    def __init__(self, gateway: Gateway, sites: Sites) -> None:
        self._gateway, self._sites = gateway, sites
        self._rest: Callable[[], asyncio.Protocol] | None = None

    def connection(self, rest: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """A connection of which nothing is known yet."""
        self._rest = rest
        return Switch(self._gateway, self._sites, rest)

    def leaves(self, transport: asyncio.Transport, data: bytes) -> bool:
        """Take a connection of the REST door over, if what it says is for the gateway."""
        if self._rest is None or not is_web(self._sites, data):
            return False
        switch = Switch(self._gateway, self._sites, self._rest)
        adopt(transport, self._gateway.front(self._sites, switch.to_rest), data)
        return True


class Switch(asyncio.Protocol):
    """A connection of which nothing is known yet.

    Args:
        rest: makes a connection of the REST door.
    """

    def __init__(self, gateway: Gateway, sites: Sites, rest: Callable[[], asyncio.Protocol]) -> None:
        self._gateway, self._sites, self._rest = gateway, sites, rest
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no instances
        self._timer = self._gateway.loop.call_later(self._gateway.limits.keep_s, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended before it said what it wants."""
        del exc
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """The first bytes, or some more of them."""
        self._data += data
        is_web = self._decide()
        if is_web is None or self._transport is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        found, self._data = self._data, b""
        if is_web:
            adopt(self._transport, self._gateway.front(self._sites, self.to_rest), found)
        else:
            adopt(self._transport, self._rest(), found)

    def _decide(self) -> bool | None:
        """Whether it is for the gateway; None while that cannot be told."""
        line = _LINE.match(self._data)
        if line is None:
            return None if _BEGUN.match(self._data) and len(self._data) < MAX_HEAD_BYTES else False
        end = self._data.find(b"\r\n\r\n")
        if end < 0 and len(self._data) < MAX_HEAD_BYTES:
            return None
        return is_web(self._sites, self._data)

    def to_rest(self, transport: asyncio.Transport, data: bytes) -> None:
        """Take a connection of the gateway over, with a request for the REST door."""
        adopt(transport, self._rest(), data)


def is_web(sites: Sites, data: bytes) -> bool:
    """Whether a request is for the gateway, as far as `data`, its first bytes, tell."""
    line = _LINE.match(data)
    if line is None:
        return False
    host = _HOST.search(data, 0, data.find(b"\r\n\r\n") + 2 or len(data))
    return sites.place(host[1] if host is not None else b"", line[1]) is not None


def adopt(transport: asyncio.Transport, protocol: asyncio.Protocol, data: bytes) -> None:
    """Give a connection to a protocol, with what it has said."""
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    protocol.data_received(data)
