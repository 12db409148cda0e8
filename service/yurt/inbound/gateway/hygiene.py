"""The heads that the gateway writes: what it takes out of those that came, and what it puts in.

Headers that are of one connection alone (RFC 9110, 7.6.1) go no further; what a proxy says of a client is said by this
one, and by others before it only if they are trusted.
"""

from dataclasses import dataclass
from http import HTTPStatus

from yurt.inbound.gateway.requests import Headers, Request

_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OURS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
    }
    | {b"x-real-ip"}
)
_ALWAYS = frozenset({b"host", b"content-length", b"cookie", b"authorization"})
"""What a header Connection cannot take out, whatever it names."""

_STATUS = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a request.

    Args:
        host: its address.
        trusted: it is a proxy whose word on its own client counts.
    """

    host: bytes
    trusted: bool = False


def request_head(request: Request, client: Client, prefix: bytes, target: bytes, spent: bytes | None = None) -> bytes:
    """The head that a container gets.

    Args:
        prefix: of the path the client asked for, which `target` lacks.
        spent: the header whose credentials were the gateway's to check.
    """
    out = [request.method, b" ", target, b" HTTP/1.1\r\n"]
    named = _named(request.headers)
    for name, value in request.headers:
        if name in _HOP or name in _OURS or name in {b"content-length", spent}:
            continue
        if named and name in named and name not in _ALWAYS:
            continue
        if b"_" in name and name.replace(b"_", b"-") in _OURS:
            continue  # to many programs the two are one
        out += (name, b": ", value, b"\r\n")
    if request.chunked:
        out.append(b"transfer-encoding: chunked\r\n")
    elif request.length is not None:
        out.append(b"content-length: %d\r\n" % request.length)
    if request.upgrade:
        out.append(b"connection: Upgrade\r\nupgrade: websocket\r\n")
    out += _forwarded(request, client, prefix)
    out.append(b"\r\n")
    return b"".join(out)


def _named(headers: Headers) -> frozenset[bytes]:
    """What headers Connection say is of this connection alone."""
    words = [word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")]
    return frozenset(words) if len(words) > 1 or (words and words[0] not in {b"keep-alive", b"close"}) else frozenset()


def _forwarded(request: Request, client: Client, prefix: bytes) -> list[bytes]:
    """What the container is told of the client, in both dialects (RFC 7239 and the older one)."""
    host, hops, secure = request.header(b"host") or b"", b"", b"http"
    if client.trusted:
        before = [value for name, value in request.headers if name == b"x-forwarded-for"]
        hops = b"".join(value + b", " for value in before if value)
        if (request.header(b"x-forwarded-proto") or b"").lower() == b"https":
            secure = b"https"
        host = request.header(b"x-forwarded-host") or host
    node = b'"[%s]"' % client.host if b":" in client.host else client.host
    out = [
        b"x-forwarded-for: ",
        hops,
        client.host,
        b"\r\nx-forwarded-proto: ",
        secure,
        b"\r\nx-forwarded-host: ",
        host,
        b"\r\nforwarded: for=",
        node,
        b";host=",
        b'"%s"' % host.replace(b"\\", b"").replace(b'"', b""),
        b";proto=",
        secure,
        b"\r\n",
    ]
    if prefix:
        out += (b"x-forwarded-prefix: ", prefix, b"\r\n")
    return out


@dataclass(slots=True)
class Framing:
    """How the body of a response is delimited towards the client.

    Args:
        chunked: in chunks that the gateway makes.
        keep: the connection goes on afterwards.
    """

    chunked: bool
    keep: bool


def response_head(
    status: int, headers: Headers, request: Request, *, sized: bool, bare: bool, keep: bool
) -> tuple[bytes, Framing]:
    """The head that a client gets, and how the body follows.

    Args:
        sized: the container said how long the body is.
        bare: no body follows, whatever the headers say.
        keep: the client may send another request afterwards.
    """
    chunked = not sized and not bare and request.modern
    keep = keep and (sized or bare or chunked)
    out = [_STATUS.get(status) or b"HTTP/1.1 %d \r\n" % status]
    named = _named(headers)
    for name, value in headers:
        lower = name.lower()
        if lower in _HOP or (lower == b"content-length" and not sized):
            continue
        if named and lower in named and lower not in _ALWAYS:
            continue
        out += (name, b": ", value, b"\r\n")
    if chunked:
        out.append(b"Transfer-Encoding: chunked\r\n")
    if not keep:
        out.append(b"Connection: close\r\n")
    elif not request.modern:
        out.append(b"Connection: keep-alive\r\n")
    out.append(b"\r\n")
    return b"".join(out), Framing(chunked, keep)


def upgrade_head(headers: Headers) -> bytes:
    """The head of a 101."""
    kept = [name + b": " + value + b"\r\n" for name, value in headers if name.lower() not in _HOP]
    return b"".join([_STATUS[101], b"Connection: Upgrade\r\nUpgrade: websocket\r\n", *kept, b"\r\n"])


def interim_head(status: int, headers: Headers) -> bytes:
    """The head of a response before the real one, such as 100 or 103."""
    kept = [name + b": " + value + b"\r\n" for name, value in headers if name.lower() not in _HOP]
    return b"".join([_STATUS.get(status) or b"HTTP/1.1 %d \r\n" % status, *kept, b"\r\n"])
