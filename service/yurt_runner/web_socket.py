"""A WebSocket of an ASGI app: from the upgrade to the close."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Tuple

from yurt_runner.web_frames import (
    ABNORMAL,
    FAILED,
    NORMAL,
    RESTARTS,
    Closed,
    Event,
    Frames,
    pack,
    pack_close,
)
from yurt_runner.web_reply import Reply
from yurt_runner.websocket import BINARY, TEXT, accept_for

MAX_UNREAD_BYTES = 256 << 10
"""Of messages that the app does not read yet; the connection is read no further then."""

CLOSE_WAIT_S = 5.0
"""How long the other end has to answer a close, in seconds."""

CONNECTING, OPEN, CLOSING, OVER = range(4)


class Socket:
    """One connection's. The app sees the events of ASGI's `websocket` scope."""

    def __init__(self, connection: Any, scope: Dict[str, Any], headers: Dict[bytes, bytes]) -> None:
        self._connection = connection
        self._scope = scope
        self._key = headers.get(b"sec-websocket-key", b"")
        self._good = headers.get(b"sec-websocket-version") == b"13" and bool(self._key)
        offered = b",".join(value for name, value in scope["headers"] if name == b"sec-websocket-protocol")
        scope["subprotocols"] = [word.strip().decode("latin-1") for word in offered.split(b",") if word.strip()]
        scope["extensions"] = {"websocket.http.response": {}}
        self._frames = Frames()
        self._events: Deque[Dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._unread = 0
        self._news = asyncio.Event()
        self._state = CONNECTING
        self._early: List[bytes] = []
        self._denial: Optional[Reply] = None
        self._timer: Optional[asyncio.TimerHandle] = None
        self._told = False

    async def run(self, app: Any) -> None:
        """Run the app, whatever becomes of it."""
        if not self._good:
            self._deny(400, [(b"sec-websocket-version", b"13")], b"This is no upgrade to a WebSocket.")
            return
        code = NORMAL
        try:
            await app(self._scope, self._receive, self._send)
        except BaseException as error:  # noqa: BLE001 - whatever the app raises ends this connection alone
            if self._state != OVER or not isinstance(error, (OSError, asyncio.CancelledError)):
                traceback.print_exc()
            code = FAILED
        if self._state == CONNECTING:
            self._deny(500, [], b"Internal Server Error")
        elif self._state == OPEN:
            self._close(code, "")

    # ------------------------------------------------------------------ from the client

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        if self._state == CONNECTING:
            self._early.append(data)  # it may not send before it has an answer; a few frames are let pass
            self._flow(len(data))
            return
        if self._state == OVER:
            return
        for event in self._frames.feed(data):
            self._take(event)
        replies, self._frames.replies = self._frames.replies, []
        if replies and self._state == OPEN:
            self._connection.transport.write(b"".join(replies))

    def _take(self, event: Event) -> None:
        if isinstance(event, Closed):
            self._closed(event)
            return
        size = len(event)
        key = "text" if isinstance(event, str) else "bytes"
        self._events.append({"type": "websocket.receive", key: event})
        self._flow(size)
        self._news.set()

    def _closed(self, event: Closed) -> None:
        """The client has closed, has answered our close, or has broken the protocol."""
        if self._state == OPEN:
            self._connection.transport.write(pack_close(event.code, event.reason if event.broken else ""))
        code = event.code
        self._end({"type": "websocket.disconnect", "code": code, "reason": event.reason})
        self._connection.transport.close()

    def disconnected(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._end({"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""})

    def leave(self) -> None:
        """The server ends."""
        if self._state == OPEN:
            self._close(RESTARTS, "")
            self._end({"type": "websocket.disconnect", "code": RESTARTS, "reason": ""}, over=False)
        elif self._state == CONNECTING:
            self._connection.abort()

    def _end(self, event: Dict[str, Any], *, over: bool = True) -> None:
        if not self._told:
            self._told = True
            self._events.append(event)
        if over:
            self._state = OVER
        self._news.set()

    def _flow(self, size: int) -> None:
        self._unread += size
        self._connection.pause(full=self._unread > MAX_UNREAD_BYTES)

    # ------------------------------------------------------------------ from the app

    async def _receive(self) -> Dict[str, Any]:
        while not self._events:
            if self._state == OVER:
                return {"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""}
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        if event["type"] == "websocket.receive":
            self._flow(-len(event.get("bytes") or event.get("text") or ""))
        return event

    async def _send(self, message: Dict[str, Any]) -> None:
        kind = message["type"]
        if self._state == OVER or (self._state == CLOSING and kind != "websocket.close"):
            return
        if self._denial is not None or kind.startswith("websocket.http.response."):
            self._answer(message)
        elif kind == "websocket.accept" and self._state == CONNECTING:
            self._accept(message)
        elif kind == "websocket.send" and self._state == OPEN:
            text = message.get("text")
            payload = bytes(message["bytes"]) if text is None else text.encode()
            self._connection.transport.write(pack(BINARY if text is None else TEXT, payload))
        elif kind == "websocket.close":
            self._refuse_or_close(int(message.get("code", NORMAL)), str(message.get("reason") or ""))
        else:
            raise RuntimeError(f"The app sent {kind!r} where a WebSocket has no place for it.")
        if not self._connection.writable.is_set():
            await self._connection.writable.wait()

    def _accept(self, message: Dict[str, Any]) -> None:
        headers: List[Tuple[bytes, bytes]] = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-accept", accept_for(self._key)),
        ]
        if message.get("subprotocol"):
            headers.append((b"sec-websocket-protocol", message["subprotocol"].encode("latin-1")))
        headers += [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
        if any(mark in name or mark in value for name, value in headers for mark in (b"\r", b"\n", b"\0")):
            raise ValueError("A header of the acceptance has a line end.")
        lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        self._connection.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n")
        self._state = OPEN
        early, self._early = b"".join(self._early), []
        if early:
            self._flow(-len(early))
            self.feed(early)

    def _refuse_or_close(self, code: int, reason: str) -> None:
        if self._state == CONNECTING:
            self._deny(403, [], b"")
        elif self._state == OPEN:
            self._close(code, reason)

    def _close(self, code: int, reason: str) -> None:
        self._connection.transport.write(pack_close(code, reason))
        self._state = CLOSING
        self._timer = asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self._connection.transport.abort)

    def _answer(self, message: Dict[str, Any]) -> None:
        """The app refuses the upgrade with a response of its own."""
        if self._state != CONNECTING:
            raise RuntimeError("The app answers by HTTP what it has accepted as a WebSocket.")
        if self._denial is None:
            self._denial = Reply(self._connection.transport, head=False, version="1.1")
            self._denial.keeps = False
        self._denial.take({**message, "type": str(message["type"])[len("websocket.") :]})
        if self._denial.ended:
            self._over()

    def _deny(self, status: int, headers: List[Tuple[bytes, bytes]], body: bytes) -> None:
        reply = Reply(self._connection.transport, head=False, version="1.1")
        reply.keeps = False
        reply.take({"type": "http.response.start", "status": status, "headers": headers})
        reply.take({"type": "http.response.body", "body": body})
        self._over()

    def _over(self) -> None:
        self._end({"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""})
        self._connection.transport.close()
