"""A page, a stream and an endpoint, over the standard library alone."""

import asyncio
import html
import time
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PAGE = """<!doctype html>
<title>clock</title>
<p>It is <b id="now">…</b> where this runs. The page is at <code>%s</code>.</p>
<script>
  new EventSource("ticks").onmessage = event => { document.getElementById("now").textContent = event.data; };
</script>
"""


async def clock(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An ASGI app: a page, and below it `ticks`, server-sent events. Frameworks such as FastAPI make such apps."""
    if scope["type"] != "http":
        return
    path = scope["path"][len(scope["root_path"]) :]
    if path == "/ticks":
        await ticks(receive, send)
    elif path == "/":
        await answer(send, 200, "text/html; charset=utf-8", PAGE % html.escape(scope["root_path"] or "/"))
    else:
        await answer(send, 404, "text/plain", "There is a page at /, and ticks at /ticks.\n")


async def answer(send: Send, status: int, kind: str, text: str) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
    await send({"type": "http.response.body", "body": text.encode()})


async def ticks(receive: Receive, send: Send) -> None:
    """One event a second, until the client goes away."""
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await receive()  # the request has no body
    gone = asyncio.ensure_future(receive())
    while not gone.done():
        event = f"data: {time.strftime('%H:%M:%S')}\n\n"
        await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        await asyncio.wait({gone}, timeout=1)


def add(a: int, b: int = 1) -> dict[str, int]:
    """A plain function: GET /?a=3&b=4."""
    return {"sum": a + b}
