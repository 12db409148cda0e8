"""Documents that are the same for everybody: made when first asked for, then kept."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is sent."""

    body: bytes
    media: str
    etag: str
    headers: tuple[tuple[str, str], ...] = ()


def document(body: bytes, media: str, headers: tuple[tuple[str, str], ...] = ()) -> Document:
    """A document, with an ETag made of its bytes."""
    return Document(body, media, f'"{hashlib.sha256(body).hexdigest()[:32]}"', headers)


class Pages:
    """Documents by name."""

    def __init__(self) -> None:
        self._makers: dict[str, Callable[[], Document]] = {}
        self._made: dict[str, Document] = {}

    def add(self, name: str, make: Callable[[], Document]) -> None:
        """Offer a document."""
        self._makers[name] = make

    def answer(self, name: str, request: web.BaseRequest) -> web.Response:
        """The document, or 304 where the client has this very one."""
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = self._makers[name]()
        headers = {"ETag": found.etag, "Cache-Control": "no-cache", **dict(found.headers)}
        if found.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = found.media
        return web.Response(body=found.body, headers=headers)
