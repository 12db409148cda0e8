"""`yurt.ports.Post` over HTTP, to addresses that were checked."""

import asyncio
import socket
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.helpers import is_ip_address
from yarl import URL

from yurt import __version__
from yurt.domain.callbacks import Network, address_problem
from yurt.ports import NotDelivered

TIMEOUT_S = 10.0
"""For everything: looking the name up, connecting, sending, and the answer."""
READ_BYTES = 64 << 10
"""What is read of an answer's body at most. It is dropped; but a receiver should be able to end its sentence."""
GONE = 410

_HINT = "The operator of the server can open networks with --callback-allow."


class _Checked(AbstractResolver):
    """Looks a name up once, and lets a connection be made only to addresses that were all found right."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        for _, _, _, _, address in found:
            problem = address_problem(str(address[0]), self._allowed)
            if problem is not None:
                raise NotDelivered(f"{host} leads to {problem}. {_HINT}")
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """It holds nothing."""


class HttpPost:
    """Sends callbacks, each over a connection of its own.

    Args:
        allowed: networks that are not public and may be reached all the same.
    """

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send one; returns if the receiver took it (a status from 200 to 299).

        Raises:
            NotDelivered: it did not.
        """
        target = URL(url)
        host = target.raw_host or ""
        # The client connects to what looks like an address without asking the resolver.
        problem = address_problem(host, self._allowed) if is_ip_address(host) else None
        if problem is not None:
            raise NotDelivered(f"{problem}. {_HINT}")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._send(target, headers, body)
        except TimeoutError as error:
            raise NotDelivered(f"There was no answer within {TIMEOUT_S:g} s.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDelivered(f"The request failed: {str(error) or type(error).__name__}."[:500]) from error
        if 300 <= status < 400:
            raise NotDelivered(f"The receiver answered {status}; redirects are not followed.")
        if not 200 <= status < 300:
            raise NotDelivered(f"The receiver answered {status}.", final=status == GONE)

    async def _send(self, url: URL, headers: Mapping[str, str], body: bytes) -> int:
        connector = aiohttp.TCPConnector(resolver=_Checked(self._allowed), use_dns_cache=False, force_close=True)
        own = {"Content-Type": "application/json", "User-Agent": f"Yurt/{__version__}", **headers}
        async with (
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
            ) as session,
            session.post(url, data=body, headers=own, allow_redirects=False) as answer,
        ):
            await _read(answer.content)
            return answer.status


async def _read(content: aiohttp.StreamReader) -> None:
    left = READ_BYTES
    while left > 0 and (chunk := await content.read(left)):
        left -= len(chunk)
