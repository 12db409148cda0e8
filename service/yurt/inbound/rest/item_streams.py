"""Items of generators as they come: NDJSON or server-sent events, by what the caller accepts."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from aiohttp import web

from yurt.inbound.rest.answers import sign
from yurt.inbound.rest.context import Context
from yurt.usecases.items import ItemReader, Lines

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
_MEDIA = {NDJSON: NDJSON, "application/jsonl": NDJSON, EVENTS: EVENTS}

ALIVE_EVERY_S = 15.0
"""How often a stream shows that it lives while nothing comes, in seconds."""

ITEM_SCHEMA: Mapping[str, Any] = {
    "title": "Item",
    "type": "object",
    "description": "One item of a generator, or as the last line the call with how it ended.",
    "oneOf": [
        {"type": "object", "required": ["item"], "additionalProperties": False, "properties": {"item": {}}},
        {"$ref": "#/components/schemas/InvocationResult"},
    ],
}


@lru_cache(256)
def stream_wanted(accept: str | None) -> str | None:
    """The kind of stream that a header `Accept` asks for, or None for one JSON document."""
    found: list[tuple[float, str]] = []
    for part in (accept or "").split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        media, quality = _MEDIA.get(name, "" if name in {"application/json", "*/*", "application/*"} else None), 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    quality = float(parameter[2:])
        if media is not None and quality > 0:
            found.append((quality, media))
    best = max(found, key=lambda one: one[0], default=(0.0, ""))  # of equal ones the first
    return best[1] or None


class Form(Protocol):
    """How a stream is written."""

    media: str
    alive: bytes

    def items(self, lines: Lines) -> bytes:
        """Items."""

    def end(self, call: bytes) -> bytes:
        """The call, which has ended."""


class AsLines:
    """NDJSON: a line for each item, and one for the call."""

    media = NDJSON
    alive = b"\n"

    def items(self, lines: Lines) -> bytes:
        """Items."""
        return b'{"item":' + lines.data.replace(b"\n", b'}\n{"item":') + b"}\n"

    def end(self, call: bytes) -> bytes:
        """The call, which has ended."""
        return call.replace(b"\n", b" ") + b"\n"


@dataclass(slots=True)
class AsEvents:
    """Server-sent events.

    Args:
        mark: what stands in ids before the number of items: milliseconds since 1970, up to which log lines were told.
    """

    mark: int
    shown: int = 0
    media: str = EVENTS
    alive: bytes = b": still here\n\n"

    @property
    def id(self) -> bytes:
        """The id of the next event: what was told so far."""
        return b"%d-%d" % (self.mark, self.shown) if self.shown else b"%d" % self.mark

    def items(self, lines: Lines) -> bytes:
        """Items."""
        out = []
        for index, item in enumerate(lines.data.split(b"\n"), lines.first):
            self.shown = index + 1
            out.append(b'id: %b\nevent: item\ndata: {"index":%d,"item":%b}\n\n' % (self.id, index, item))
        return b"".join(out)

    def event(self, kind: bytes, data: bytes) -> bytes:
        """Any other event."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (self.id, kind, data.replace(b"\n", b" ").replace(b"\r", b" "))

    def end(self, call: bytes) -> bytes:
        """The call, which has ended."""
        return self.event(b"end", call)


async def begin_stream(ctx: Context[Any, Any], form: Form, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send the head of a stream that nobody on the way should buffer."""
    response = web.StreamResponse(headers={**headers, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.headers["Content-Type"] = form.media
    sign(response, ctx.request_id)
    await response.prepare(ctx.request)
    return response


async def write_items(
    ctx: Context[Any, Any], response: web.StreamResponse, reader: ItemReader, form: Form, *, look_every_s: float
) -> None:
    """Write items until the last one of an input that has ended.

    Raises:
        ConnectionResetError: the client went away.
    """
    silent_s = 0.0
    while not reader.over:
        found = await reader.ready()
        if found:
            silent_s = 0.0
            await response.write(b"".join(map(form.items, found)))
            continue
        try:
            async with asyncio.timeout(look_every_s):
                await reader.news()
        except TimeoutError:
            silent_s += look_every_s
            if ctx.request.transport is None or ctx.request.transport.is_closing():
                raise ConnectionResetError("the client went away") from None
            if silent_s >= ALIVE_EVERY_S:
                silent_s = 0.0
                await response.write(form.alive)
