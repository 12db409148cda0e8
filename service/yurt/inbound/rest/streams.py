"""Answers that go on: server-sent events of a call, and followed logs."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Self

from aiohttp import hdrs, web

from yurt.domain.errors import FieldError, Invalid
from yurt.domain.naming import shown
from yurt.inbound.rest.answers import encode, sign
from yurt.inbound.rest.context import Context
from yurt.ports import LogLine
from yurt.usecases.events import Event

COMMENT_EVERY_S = 15.0

EVENT_ID_PATTERN = "^[0-9]{0,15}$"
"""Milliseconds since 1970; empty where no event came yet."""

EVENT_SCHEMA: Mapping[str, Any] = {
    "title": "CallEvent",
    "type": "object",
    "description": "The `data` of one event: the call for `state`, `pending` and `end`; a log line for `log`.",
    "additionalProperties": True,
}


async def open_stream(ctx: Context[Any, Any], media: str) -> web.StreamResponse:
    """Send the head of a stream that nobody on the way should buffer."""
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.headers["Content-Type"] = media
    sign(response, ctx.request_id)
    await response.prepare(ctx.request)
    return response


async def stream_events(ctx: Context[Any, Any], call_id: str, seq: int) -> web.StreamResponse:
    """Follow a call to its end."""
    since = _since(ctx.header("Last-Event-ID") or "")
    response = await open_stream(ctx, "text/event-stream")
    mark = int((since or 0) * 1000)
    if ctx.request.method == hdrs.METH_HEAD:
        return response
    events = ctx.services.events.follow(ctx.principal, call_id, seq, since=since)
    async with events, Paced(events, COMMENT_EVERY_S) as paced:
        async for event in paced:
            if event is None:
                await response.write(b": still here\n\n")
                continue
            if event.line is not None:
                mark = max(mark, int(event.line.time * 1000) + 1)
            await response.write(
                b"id: %d\nevent: %b\ndata: %b\n\n" % (mark, event.kind.encode(), await _data(ctx, event))
            )
    await response.write_eof()
    return response


def _since(resumed: str) -> float | None:
    if not re.match(EVENT_ID_PATTERN[:-1] + r"\Z", resumed):
        message = f"must be the id of an event of this stream, got {shown(resumed)}"
        raise Invalid(f"Last-Event-ID {message}.", errors=[FieldError("Last-Event-ID", message)])
    return int(resumed) / 1000 if resumed else None


async def _data(ctx: Context[Any, Any], event: Event) -> bytes:
    shaper = ctx.services.shaper
    if event.line is not None:
        return encode(shaper.line(event.line))
    if event.view is None:
        return b"{}"
    return encode(await shaper.shown(ctx.services.calls, event.view))


async def stream_lines(ctx: Context[Any, Any], lines: AsyncIterator[LogLine]) -> web.StreamResponse:
    """Log lines as NDJSON, until the client goes away."""
    response = await open_stream(ctx, "application/x-ndjson")
    if ctx.request.method == hdrs.METH_HEAD:
        return response
    async with Paced(lines, COMMENT_EVERY_S) as paced:
        async for line in paced:
            await response.write(b"\n" if line is None else encode(ctx.services.shaper.line(line)) + b"\n")
    return response


class Paced:
    """The items as they come, and None whenever nothing came for so long.

    Leaving its `async with` ends what is awaited, and closes an iterator that can be closed.
    """

    def __init__(self, items: AsyncIterator[Any], seconds: float) -> None:
        self._items = items
        self._seconds = seconds
        self._coming: asyncio.Future[Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
        if isinstance(self._items, AsyncGenerator):
            await self._items.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._coming is None:
            self._coming = asyncio.ensure_future(anext(self._items))
        done, _ = await asyncio.wait({self._coming}, timeout=self._seconds)
        if not done:
            return None
        coming, self._coming = self._coming, None
        return coming.result()
