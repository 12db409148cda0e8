"""The body of a request, in either of its two framings."""

from __future__ import annotations

from typing import List, Optional, Tuple

MAX_LINE_BYTES = 4096
"""The longest line between chunks."""

Parts = Tuple[List[bytes], bytearray]


class BadBody(Exception):
    """The framing is broken."""


class Body:
    """A body of known length.

    Attributes:
        complete: nothing is to come any more.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self.complete = size == 0

    def take(self, buffer: bytearray) -> Parts:
        """What of `buffer` is content, and what follows the body.

        Raises:
            BadBody: the framing is broken.
        """
        part, rest = bytes(buffer[: self._left]), buffer[self._left :]
        self._left -= len(part)
        self.complete = self._left == 0
        return ([part] if part else []), rest


class Chunked(Body):
    """A body in chunks (RFC 9112, 7.1). Trailers are dropped."""

    def __init__(self) -> None:
        super().__init__(0)
        self.complete = False
        self._trailers = False

    def take(self, buffer: bytearray) -> Parts:
        """See `Body.take`."""
        parts: List[bytes] = []
        at = 0
        while not self.complete:
            if self._left:
                part = bytes(buffer[at : at + self._left])
                if not part:
                    break
                parts.append(part)
                self._left -= len(part)
                at += len(part)
                continue
            end = buffer.find(b"\r\n", at)
            if end < 0:
                if len(buffer) - at > MAX_LINE_BYTES:
                    raise BadBody("a line is too long")
                break
            line = bytes(buffer[at:end])
            if self._trailers:
                self.complete = not line
            elif line or not self._due:
                self._left = _size(line)
                self._trailers = self._left == 0
                self._due = not self._trailers
            else:
                self._due = False  # the end of the chunk before
            at = end + 2
        return parts, buffer[at:]

    _due = False
    """A chunk is not over before its own line end has come."""


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise BadBody("the size of a chunk is no number")
    return int(digits, 16)


def body_of(headers: List[Tuple[bytes, bytes]]) -> Body:
    """The body that the headers announce.

    Raises:
        BadBody: they contradict themselves.
    """
    length: Optional[int] = None
    chunked = False
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit() or (length is not None and length != int(value)):
                raise BadBody("a length that is none")
            length = int(value)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or chunked:
                raise BadBody("an encoding that is not known")
            chunked = True
    if chunked and length is not None:
        raise BadBody("two framings")
    return Chunked() if chunked else Body(length or 0)
