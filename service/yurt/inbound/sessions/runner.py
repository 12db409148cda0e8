"""The door at which machines fetch the runner, before a container can speak for itself."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeAlias

import msgspec
from aiohttp import web

from yurt.domain.naming import shown

KEPT_S = 86_400
"""Its name says what is in it, so that anybody may keep it, in seconds."""

Plain: TypeAlias = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]


class RunnerDoor:
    """Serves the runner, to anybody: there is nothing secret in it.

    Args:
        data: the runner as one file.
        sha256: its hash (hex).
    """

    def __init__(self, data: bytes, sha256: str) -> None:
        self._data = data
        self._name = f"{sha256}.pyz"

    def routes(self) -> Iterator[tuple[str, str, Plain]]:
        """Method, path and handler of the route."""
        yield "GET", "/runner/{name}", self.fetch

    async def fetch(self, _: web.BaseRequest, path: Mapping[str, str]) -> web.StreamResponse:
        """The runner of that name, if it is this server's."""
        if path["name"] != self._name:
            detail = f"This server has no runner {shown(path['name'])}; its own is {self._name}."
            told = {"type": "/docs/errors#not_found", "title": "Not found", "status": 404, "detail": detail}
            return web.Response(status=404, body=msgspec.json.encode(told), content_type="application/problem+json")
        headers = {"Cache-Control": f"public, max-age={KEPT_S}, immutable"}
        return web.Response(body=self._data, content_type="application/zip", headers=headers)
