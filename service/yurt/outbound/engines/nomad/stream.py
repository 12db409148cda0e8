"""Nomad's event stream over aiohttp: frames, for as long as it holds."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import aiohttp

from yurt.outbound.engines.nomad.client import token_of
from yurt.outbound.engines.nomad.errors import Denied, NomadError, Unreachable, error_of
from yurt.outbound.engines.nomad.settings import NomadSettings

FIRST_FRAME_S = 5.0
"""An allowed stream says something at once; a refused one is an answer of 200 and then silence."""

SILENT_S = 75.0
"""Heartbeats come every 30 s."""


class Stream:
    """Opens event streams of one cluster."""

    def __init__(self, settings: NomadSettings) -> None:
        self._settings = settings
        self._tls: ssl.SSLContext | bool = True
        if settings.address.startswith("https://"):
            self._tls = ssl.create_default_context(cafile=settings.ca_file)

    async def frames(self, topics: Sequence[str], index: int) -> AsyncGenerator[dict[str, Any], None]:
        """Frames from behind an index on; the first may be an empty one, as heartbeats are.

        Raises:
            NomadError: it was refused, or broke.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=FIRST_FRAME_S, sock_read=SILENT_S)
        token = token_of(self._settings.token)
        headers = {"X-Nomad-Token": token} if token else {}
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.get(self._url(), params=self._query(topics, index), ssl=self._tls) as response,
            ):
                if response.status != 200:
                    raise error_of(response.status, await response.text())
                async for frame in _frames(response.content):
                    yield frame
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(0, f"the event stream broke: {type(error).__name__} {error}") from error
        raise Unreachable(0, "the event stream ended")

    def _url(self) -> str:
        return f"{self._settings.address}/v1/event/stream"

    def _query(self, topics: Sequence[str], index: int) -> list[tuple[str, str]]:
        region = [("region", self._settings.region)] if self._settings.region else []
        scope = [("namespace", self._settings.namespace), ("index", str(index)), *region]
        return [*scope, *(("topic", topic) for topic in topics)]


async def _frames(content: aiohttp.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """Split into lines here: a burst of placements is a longer line than the library takes."""
    rest = b""
    chunks = content.iter_any()
    seen = False
    while True:
        try:
            async with asyncio.timeout(None if seen else FIRST_FRAME_S):
                chunk = await anext(chunks)
        except TimeoutError as error:
            raise Denied(403, "the event stream stayed silent: the token may not read it") from error
        except StopAsyncIteration:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            seen = True
            yield _read(line)


def _read(line: bytes) -> dict[str, Any]:
    try:
        frame = json.loads(line)
    except ValueError:
        raise NomadError(500, f"the event stream says: {line[:200].decode(errors='replace')}") from None
    return frame if isinstance(frame, dict) else {}
