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
from yurt.inbound.rest.item_streams import EVENTS, AsEvents
from yurt.ports import LogLine
from yurt.usecases.events import Event

COMMENT_EVERY_S = 15.0

EVENT_ID_PATTERN = "^([0-9]{1,15}(-[0-9]{1,15})?)?$"
"""Milliseconds since 1970, up to which log lines were told, and the number of items told; empty where there were no
events yet."""

EVENT_SCHEMA: Mapping[str, Any] = {
    "title": "CallEvent",
    "type": "object",
    "description": "The `data` of one event: the call for `state`, `pending` and `end`; a log line for `log`; "
    "`index` and `item` for `item`.",
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
    since, items = _resumed(ctx.header("Last-Event-ID") or "")
    response = await open_stream(ctx, EVENTS)
    form = AsEvents(int((since or 0) * 1000), items)
    if ctx.request.method == hdrs.METH_HEAD:
        return response
    events = ctx.services.events.follow(ctx.principal, call_id, seq, since=since, items=items)
    async with events, Paced(events, COMMENT_EVERY_S) as paced:
        async for event in paced:
            await response.write(form.alive if event is None else await _written(ctx, form, event))
    await response.write_eof()
    return response


def _resumed(event_id: str) -> tuple[float | None, int]:
    """Since when log lines are wanted, in seconds since 1970, and from which item on."""
    if not re.match(EVENT_ID_PATTERN[:-1] + r"\Z", event_id):
        message = f"must be the id of an event of this stream, got {shown(event_id)}"
        raise Invalid(f"Last-Event-ID {message}.", errors=[FieldError("Last-Event-ID", message)])
    time_ms, _, items = event_id.partition("-")
    return int(time_ms) / 1000 if time_ms else None, int(items or 0)


async def _written(ctx: Context[Any, Any], form: AsEvents, event: Event) -> bytes:
    if event.items is not None:
        return form.items(event.items)
    if event.line is not None:
        form.mark = max(form.mark, int(event.line.time * 1000) + 1)
    return form.event(event.kind.encode(), await _data(ctx, event))


async def _data(ctx: Context[Any, Any], event: Event) -> bytes:
    shaper, view = ctx.services.shaper, event.view
    if event.line is not None:
        return encode(shaper.line(event.line))
    if view is None:
        return b"{}"
    told_before = view.result is not None and view.result.items is not None
    return encode(await shaper.shown(ctx.services.calls, view, with_value=not told_before))


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
