"""What the gateway says itself."""

import time
from http import HTTPStatus

import msgspec

from yurt.domain.naming import shown
from yurt.domain.times import http_date

_CODES = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    431: "headers_too_large",
    501: "not_supported",
    502: "endpoint_failed",
    503: "unavailable",
    504: "endpoint_timeout",
    505: "version_not_supported",
}
_RETRY_AFTER_S = 2
_CHALLENGES = b'WWW-Authenticate: Bearer realm="yurt"\r\nWWW-Authenticate: Basic realm="yurt", charset="UTF-8"\r\n'


def answer(status: int, detail: str, request_id: str, *, bare: bool, keep: bool) -> bytes:
    """A problem (RFC 9457), as bytes of HTTP.

    Args:
        bare: without the body, as HEAD wants it.
        keep: the connection goes on.
    """
    said = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": _CODES[status]}
    body = msgspec.json.encode({"type": "about:blank", **said, "request_id": request_id})
    more = _CHALLENGES if status == 401 else b""
    if status == 503:
        more += b"Retry-After: %d\r\n" % _RETRY_AFTER_S
    more += b"Content-Type: application/problem+json\r\nX-Request-Id: %s\r\n" % request_id.encode()
    return _head(status, len(body), more, keep=keep) + (b"" if bare else body)


def nowhere(label: str) -> str:
    """What is said where nothing answers.

    Args:
        label: that was asked for; empty where the request names none.
    """
    what = f"There is no endpoint {shown(label)}." if label else "There is no endpoint here."
    return f"{what} A function's web_url says where it answers: GET /v1/functions/app:function shows it."


def moved(target: bytes, *, keep: bool) -> bytes:
    """To the same path with a slash at its end."""
    path, mark, query = target.partition(b"?")
    return _head(308, 0, b"Location: %s/%s%s\r\n" % (path, mark, query), keep=keep)


def _head(status: int, size: int, more: bytes, *, keep: bool) -> bytes:
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: {http_date(time.time())}\r\nServer: yurt\r\n"
    close = b"" if keep else b"Connection: close\r\n"
    return line.encode() + b"%sContent-Length: %d\r\n%s\r\n" % (more, size, close)
