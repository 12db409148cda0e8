"""The server's end of a WebSocket without I/O (RFC 6455, no extensions): bytes in, events out."""

from __future__ import annotations

import codecs
import struct
from typing import Any, List, NamedTuple, Optional, Union

from yurt_runner.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, mask

NORMAL, GOING_AWAY, BROKEN, NO_STATUS, ABNORMAL, NOT_UTF8, TOO_BIG, FAILED, RESTARTS = (
    1000,
    1001,
    1002,
    1005,
    1006,
    1007,
    1009,
    1011,
    1012,
)
"""Codes of closes (RFC 6455, 7.4)."""

MAX_MESSAGE_BYTES = 16 << 20
_ALLOWED = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class Closed(NamedTuple):
    """The other end has closed, or broken the protocol: `code` is then what it is told."""

    code: int
    reason: str
    broken: bool


class Violation(Exception):
    """The other end broke the protocol."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


Event = Union[str, bytes, Closed]


class Frames:
    """One connection's.

    Attributes:
        replies: frames that answer what came: send and clear them.
    """

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._kind = 0  # of the message whose pieces are coming
        self._parts: List[Any] = []
        self._size = 0
        self._text: Any = None
        self.replies: List[bytes] = []
        self.closed = False

    def feed(self, data: bytes) -> List[Event]:
        """What `data` completes. After a `Closed` nothing more is read."""
        events: List[Event] = []
        self._buffer += data
        try:
            while not self.closed:
                frame = self._frame()
                if frame is None:
                    break
                self._take(frame[0], frame[1], events)
        except Violation as error:
            self.closed = True
            events.append(Closed(error.code, error.reason, broken=True))
        return events

    def _frame(self) -> Optional[Any]:
        """First byte and payload of the next whole frame."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second, at = buffer[0], buffer[1], 2
        size = second & 127
        if first & 112:
            raise Violation(BROKEN, "a reserved bit is set")
        if not second & 128:
            raise Violation(BROKEN, "a frame is not masked")
        kind = first & 15
        if kind not in {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}:
            raise Violation(BROKEN, "an opcode is unknown")
        if kind & 8 and (size > 125 or not first & 128):
            raise Violation(BROKEN, "a control frame is too long, or in pieces")
        self._check_order(kind)
        width = {126: 2, 127: 8}.get(size, 0)
        if len(buffer) < at + width + 4:
            return None
        if width:
            size = int.from_bytes(buffer[at : at + width], "big")
            if size >> 63:
                raise Violation(BROKEN, "a length is too large")
            at += width
        if not kind & 8 and self._size + size > self._limit:
            raise Violation(TOO_BIG, f"a message is larger than {self._limit} bytes")
        key = bytes(buffer[at : at + 4])
        at += 4
        if len(buffer) < at + size:
            return None
        payload = mask(key, bytes(buffer[at : at + size])) if size else b""
        del buffer[: at + size]
        return first, payload

    def _check_order(self, kind: int) -> None:
        if kind == CONTINUATION and not self._kind:
            raise Violation(BROKEN, "nothing is to be continued")
        if kind in {TEXT, BINARY} and self._kind:
            raise Violation(BROKEN, "a message begins inside another")

    def _take(self, first: int, payload: Any, events: List[Event]) -> None:
        kind, last = first & 15, bool(first & 128)
        if kind == PING:
            self.replies.append(pack(PONG, bytes(payload)))
        elif kind == CLOSE:
            events.append(self._close(bytes(payload)))
        elif kind != PONG:
            if kind != CONTINUATION:
                self._kind = kind
                self._text = codecs.getincrementaldecoder("utf-8")() if kind == TEXT else None
            self._add(payload, last=last)
            if last:
                events.append("".join(self._parts) if self._text is not None else b"".join(self._parts))
                self._kind, self._size, self._parts = 0, 0, []

    def _add(self, payload: Any, *, last: bool) -> None:
        self._size += len(payload)
        if self._text is None:
            self._parts.append(payload)
            return
        try:
            self._parts.append(self._text.decode(payload, last))
        except UnicodeDecodeError:
            raise Violation(NOT_UTF8, "text is not UTF-8") from None

    def _close(self, payload: bytes) -> Closed:
        self.closed = True
        if not payload:
            return Closed(NO_STATUS, "", broken=False)
        if len(payload) == 1:
            raise Violation(BROKEN, "a close has half a code")
        code: int = struct.unpack(">H", payload[:2])[0]
        if code not in _ALLOWED and not 3000 <= code < 5000:
            raise Violation(BROKEN, "a close has a code that is not for the wire")
        try:
            return Closed(code, payload[2:].decode(), broken=False)
        except UnicodeDecodeError:
            raise Violation(NOT_UTF8, "the reason of a close is not UTF-8") from None


def pack(kind: int, payload: bytes) -> bytes:
    """One whole frame of a server: it is not masked."""
    size = len(payload)
    if size < 126:
        head = bytes((128 | kind, size))
    elif size < 65536:
        head = struct.pack(">BBH", 128 | kind, 126, size)
    else:
        head = struct.pack(">BBQ", 128 | kind, 127, size)
    return head + payload


def pack_close(code: int, reason: str = "") -> bytes:
    """A close; without a code where `code` is `NO_STATUS`."""
    if code == NO_STATUS:
        return pack(CLOSE, b"")
    said = reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")  # a cut may go through a character
    return pack(CLOSE, struct.pack(">H", code) + said.encode())
