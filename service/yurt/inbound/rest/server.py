"""Serving the door: what is not even HTTP is answered as every other error is."""

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from yurt.domain.errors import Malformed
from yurt.inbound.rest.answers import sign
from yurt.inbound.rest.problems import Internal, problem

_LINE_BYTES = 64 << 10
"""The longest request line and header: a page of cursors and metadata filters fits many times over."""


class _Protocol(web.RequestHandler):
    """One connection. aiohttp itself would answer in plain text, quote the bytes, and log a traceback for each."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del message  # quotes what came
        if request.writer.output_size:
            raise ConnectionResetError("an answer has begun") from exc
        error = Malformed("This is not HTTP as the server reads it: check the request line, the headers and lengths.")
        request_id = secrets.token_hex(8)
        answer = problem(error if status < 500 else Internal("The server failed."), instance="/", request_id=request_id)
        sign(answer, request_id)
        answer.force_close()
        return answer

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the task that only swallows the rest of a body: aiohttp would let it wait ten seconds for more."""
        task, in_progress = self._task_handler, self._request_in_progress
        super().connection_lost(exc)
        if task is not None and not in_progress:
            task.cancel()


class _Server(web.Server):
    """Makes connections."""

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class DoorRunner(web.ServerRunner):
    """Serves a door, such as `yurt.inbound.rest.door.Door`; otherwise as aiohttp's runners.

    Args:
        door: answers every request.
        shutdown_timeout: what connections get to end, in seconds.
    """

    def __init__(
        self, door: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], *, shutdown_timeout: float = 60.0
    ) -> None:
        server = _Server(door, access_log=None, max_line_size=_LINE_BYTES, max_field_size=_LINE_BYTES)
        super().__init__(server, shutdown_timeout=shutdown_timeout)
