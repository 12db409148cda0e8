"""What an ASGI app sends, as bytes of HTTP/1."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Dict, Iterable, List, Optional, Tuple

_STATUS = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}
_FORBIDDEN = (b"\r", b"\n", b"\0")

_date: Tuple[int, bytes] = (0, b"")


class Reply:
    """One response. It is put together with the first piece of its body, so that small ones leave in one write.

    Args:
        head: the request was HEAD: no body goes out.
        version: of the request, `1.0` or `1.1`.

    Attributes:
        started: the app has said status and headers.
        written: they are out.
        ended: the last of the body is out.
        keeps: another response may follow on the connection.
    """

    def __init__(self, transport: asyncio.Transport, *, head: bool, version: str) -> None:
        self._transport = transport
        self._head = head
        self._modern = version == "1.1"
        self._out: List[bytes] = []
        self._bare = head
        self._length: Optional[int] = None
        self._chunked = False
        self.written = False
        self.started = False
        self.ended = False
        self.keeps = True

    def take(self, message: Dict[str, Any]) -> None:
        """One message of the app.

        Raises:
            RuntimeError: it comes out of turn, or is none.
            ValueError: a header cannot stand in HTTP.
        """
        kind = message["type"]
        if kind == "http.response.start" and not self.started:
            self._start(int(message["status"]), message.get("headers") or ())
        elif kind == "http.response.body" and self.started and not self.ended:
            self._body(bytes(message.get("body") or b""), more=bool(message.get("more_body")))
        else:
            raise RuntimeError(f"The app sent {kind!r} where HTTP has no place for it.")

    def _start(self, status: int, headers: Iterable[Tuple[bytes, bytes]]) -> None:
        if status < 200:
            raise RuntimeError(f"The app sent the status {status}, which ends no request.")
        self._bare = self._head or status in {204, 304}
        out = [_STATUS.get(status) or b"HTTP/1.1 %d \r\n" % status]
        dated = False
        for name, value in ((bytes(name), bytes(value)) for name, value in headers):
            if any(one in name or one in value for one in _FORBIDDEN) or not name or b":" in name or b" " in name:
                raise ValueError(f"The header {name!r} cannot stand in HTTP: it has a line end, or no name.")
            lower = name.lower()
            if lower == b"content-length":
                self._length = int(value)
            elif lower == b"transfer-encoding":
                continue  # the framing is ours
            elif lower == b"connection":
                self.keeps = self.keeps and b"close" not in value.lower()
                continue
            elif lower == b"date":
                dated = True
            out.append(b"%s: %s\r\n" % (name, value))
        if not dated:
            out.append(date())
        self._out = out
        self._status = status
        self.started = True

    def _body(self, data: bytes, *, more: bool) -> None:
        if not self.written:
            self._frame(data, more=more)
        if not self._bare and data:
            if self._length is not None:
                self._length -= len(data)
                if self._length < 0:
                    raise RuntimeError("The app sent more than its Content-Length says.")
            self._out.append(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)
        if not more:
            if self._length and not self._bare:
                raise RuntimeError("The app sent less than its Content-Length says.")
            if self._chunked and not self._bare:
                self._out.append(b"0\r\n\r\n")
            self.ended = True
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out = []

    def _frame(self, data: bytes, *, more: bool) -> None:
        """The end of the head: how the body is delimited."""
        self.written = True
        if self._length is None and self._status not in {204, 304}:
            if not more and not self._head:
                self._length = len(data)
                self._out.append(b"content-length: %d\r\n" % self._length)
            elif self._modern:
                self._chunked = True
                self._out.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keeps = False
        self._out.append(b"\r\n" if self.keeps else b"connection: close\r\n\r\n")

    def fail(self) -> None:
        """The app has failed before it said anything: it does not show why."""
        text = b"Internal Server Error"
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        self._start(500, headers)
        self._body(text, more=False)


def date() -> bytes:
    """The header `Date`, made once a second."""
    global _date  # noqa: PLW0603 - the clock is one for all
    now = int(time.time())
    if _date[0] != now:
        _date = (now, b"date: %s\r\n" % formatdate(now, usegmt=True).encode())
    return _date[1]
