"""A request as the gateway sees it, and where it goes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

PATH = b"/web/"
"""What precedes the label where it stands in the path."""

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Of RFC 9110, 9.2.2."""


class BadRequest(Exception):
    """A request that is not handed on.

    Args:
        status: of the answer.
        detail: what is wrong.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(slots=True)
class Request:
    """The head of a request.

    Args:
        headers: names in lower case, in the order in which they came.
        length: of the body, where it was announced.
        chunked: the body comes in chunks.
        upgrade: a WebSocket is asked for.
        keep: the client may send another request afterwards.
    """

    method: bytes
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    length: int | None = None
    chunked: bool = False
    upgrade: bool = False
    keep: bool = True

    @property
    def modern(self) -> bool:
        """Whether it speaks HTTP/1.1."""
        return self.version == "1.1"

    @property
    def bodiless(self) -> bool:
        """Whether nothing follows the head."""
        return not self.chunked and not self.length

    @property
    def again(self) -> bool:
        """Whether it may be made twice: it changes nothing that it would not change at once, and all of it is here."""
        return self.bodiless and self.method in IDEMPOTENT and not self.upgrade

    def header(self, name: bytes) -> bytes | None:
        """The first of that name."""
        return next((value for known, value in self.headers if known == name), None)


def settle(request: Request) -> None:
    """Work out what the headers say of the request as a whole.

    Raises:
        BadRequest: it is one that no server should guess at.
    """
    hosts = 0
    words: list[bytes] = []
    upgrade = b""
    for name, value in request.headers:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            request.length = int(value)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or request.chunked or not request.modern:
                raise BadRequest(501, "The transfer coding is not known here: chunked is, of HTTP/1.1.")
            request.chunked = True
        elif name == b"connection":
            words += [word.strip().lower() for word in value.split(b",")]
        elif name == b"upgrade":
            upgrade = value.strip().lower()
    if request.version not in {"1.0", "1.1"}:
        raise BadRequest(505, "This is not HTTP/1.1.")
    if hosts > 1 or (request.modern and not hosts):
        raise BadRequest(400, "A request has one Host header.")
    if request.method == b"CONNECT":
        raise BadRequest(405, "This is no proxy of the kind that CONNECT asks for.")
    request.keep = b"close" not in words if request.modern else b"keep-alive" in words
    request.upgrade = upgrade == b"websocket" and b"upgrade" in words and request.method == b"GET"
    _plain_target(request)


def _plain_target(request: Request) -> None:
    """The target as path and query: of the absolute form (RFC 9112, 3.2.2) the host goes where hosts are."""
    target = request.target
    if target[:1] == b"/" or (target == b"*" and request.method == b"OPTIONS"):
        return
    scheme, colon, rest = target.partition(b"://")
    if not colon or scheme.lower() not in {b"http", b"https"}:
        raise BadRequest(400, "The target of a request begins with a slash.")
    host, slash, path = rest.partition(b"/")
    host, mark, query = host.partition(b"?")
    request.target = b"/" + path if slash else b"/" + mark + query
    request.headers[:] = [(b"host", host), *(pair for pair in request.headers if pair[0] != b"host")]


@dataclass(frozen=True, slots=True)
class Place:
    """Which function is meant.

    Args:
        label: the function's.
        prefix: of the path, that the function does not see in its own routes; empty where the host says it all.
        target: what is left of the target; empty where the slash after the label is missing.
    """

    label: str
    prefix: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Sites:
    """Where functions are found on one port.

    Args:
        domain: hosts directly below it are labels; in lower case, as bytes.
        by_path: `/web/<label>/` is served, too.
    """

    domain: bytes | None
    by_path: bool

    def place(self, host: bytes, target: bytes) -> Place | None:
        """What a request means, or None where it means no function at all."""
        if self.domain is not None:
            name = host.strip().lower()
            if b":" in name:
                name = name.rpartition(b":")[0]
            label, dot, rest = name.partition(b".")
            if dot and rest.rstrip(b".") == self.domain:
                return Place(label.decode("latin-1"), b"", target)
        if self.by_path and target.startswith(PATH):
            raw, slash, rest = target[len(PATH) :].partition(b"/")
            if not slash:
                raw = raw.partition(b"?")[0]
                return Place(_text(raw), PATH + raw, b"")
            return Place(_text(raw), PATH + raw, b"/" + rest)
        return None


def _text(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode("latin-1").lower()
