"""Serving the door: what is not even HTTP is answered as every other error is."""

import secrets

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


class _Server(web.Server):
    """Makes connections."""

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class DoorRunner(web.AppRunner):
    """Runs the application of `yurt.inbound.rest.door.create_app`; use it as aiohttp's `AppRunner`."""

    async def _make_server(self) -> web.Server:
        self._kwargs |= {"access_log": None, "max_line_size": _LINE_BYTES, "max_field_size": _LINE_BYTES}
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )
