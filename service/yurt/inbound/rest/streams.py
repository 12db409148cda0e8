"""Answers that go on: server-sent events of a call, and followed logs."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from aiohttp import web

from yurt.domain.errors import FieldError, Invalid
from yurt.domain.naming import shown
from yurt.inbound.rest.answers import encode
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
    await response.prepare(ctx.request)
    return response


async def stream_events(ctx: Context[Any, Any], call_id: str) -> web.StreamResponse:
    """Follow a call to its end."""
    since = _since(ctx.header("Last-Event-ID") or "")
    response = await open_stream(ctx, "text/event-stream")
    mark = int((since or 0) * 1000)
    events = ctx.services.events.follow(ctx.principal, call_id, since=since)
    async with aclosing(events):
        async for event in with_silence(events, COMMENT_EVERY_S):
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
    async for line in with_silence(lines, COMMENT_EVERY_S):
        await response.write(b"\n" if line is None else encode(ctx.services.shaper.line(line)) + b"\n")
    return response


async def with_silence(items: AsyncIterator[Any], seconds: float) -> AsyncIterator[Any]:
    """The items as they come, and None whenever nothing came for so long."""
    iterator = aiter(items)
    coming: asyncio.Future[Any] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(iterator))
            done, _ = await asyncio.wait({coming}, timeout=seconds)
            if not done:
                yield None
                continue
            try:
                item = coming.result()
            except StopAsyncIteration:
                coming = None
                return
            coming = None
            yield item
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
