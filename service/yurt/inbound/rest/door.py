"""The door itself: from the operation table to a handler of aiohttp's server.

It sees every request: it names it, turns errors into problems, and notes its line. Around each handler stands an
endpoint that admits, authenticates and reads, in that order, so that a handler only ever sees what is right.
"""

import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias

import structlog
from aiohttp import web

from yurt.domain.errors import Malformed, NotFound, TooLarge, YurtError
from yurt.domain.naming import shown
from yurt.inbound.rest import paths
from yurt.inbound.rest.answers import sign
from yurt.inbound.rest.auth import authenticate, recognize, require
from yurt.inbound.rest.bodies import read_body
from yurt.inbound.rest.context import Context, Services
from yurt.inbound.rest.docs import add_pages
from yurt.inbound.rest.operations import BODY_LIMIT_BYTES, Operation
from yurt.inbound.rest.problems import Internal, MethodNotAllowed, problem
from yurt.inbound.rest.queries import read_query
from yurt.inbound.rest.room import Room
from yurt.inbound.rest.table import OPERATIONS
from yurt.inbound.routes import Routes
from yurt.logging import RequestLine, RequestLog
from yurt.usecases.principals import NOBODY, Principal

_log = structlog.get_logger(__name__)

LARGE_AT_ONCE = 4
"""How many bodies of the largest size are in memory at once; smaller ones are more."""

_CLIENT_WENT = 499
"""As nginx notes it: nobody was there to read a status."""

_QUIET = frozenset({"getHealth", "getReadiness", "getMetrics"})
"""Asked every few seconds by machines; only their failures get a line."""


@dataclass(slots=True)
class Trace:
    """What the door learns of a request on its way."""

    request_id: str
    operation_id: str = ""
    principal: Principal = NOBODY


Endpoint: TypeAlias = Callable[[web.BaseRequest, Mapping[str, str], Trace], Awaitable[web.StreamResponse]]
Plain: TypeAlias = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]


class Door:
    """The REST door, a handler of aiohttp's low-level server (`yurt.inbound.rest.server.DoorRunner`).

    Args:
        services: what handlers call.
        log: takes the line of each request; its `run` must be running.
        operations: the table.
        body_limit_bytes: larger bodies are refused.
        open_metrics: let anybody read `/metrics`.
    """

    def __init__(
        self,
        services: Services,
        log: RequestLog,
        *,
        operations: Sequence[Operation] = OPERATIONS,
        body_limit_bytes: int = BODY_LIMIT_BYTES,
        open_metrics: bool = False,
    ) -> None:
        if open_metrics:
            operations = [replace(row, role=None) if row.operation_id == "getMetrics" else row for row in operations]
        add_pages(services.pages, operations, services.health)
        self._log = log
        self._observe = services.metrics.requests.observe
        self._routes: Routes[Endpoint] = Routes()
        room = Room(LARGE_AT_ONCE * body_limit_bytes)
        for row in operations:
            self._routes.add(row.method, row.path, _endpoint(row, services, body_limit_bytes, room))
        self._life = secrets.token_hex(4)  # with a number: unique, and cheaper than a random name for each
        self._numbers = itertools.count(1)

    def add(self, method: str, path: str, handler: Plain) -> None:
        """Serve something that is no operation of the table; `handler` is given the parameters of its path."""

        async def endpoint(request: web.BaseRequest, values: Mapping[str, str], _: Trace) -> web.StreamResponse:
            return await handler(request, values)

        self._routes.add(method, path, endpoint)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = time.perf_counter()
        trace = Trace(f"{self._life}{next(self._numbers):08x}")
        status, call_id = _CLIENT_WENT, ""
        try:
            try:
                match = self._routes.find(request.method, request.rel_url.raw_path) or self._nothing_there(request)
                response = await match.handler(request, match.values, trace)
            except ConnectionError:
                raise  # the client is gone; aiohttp closes the connection quietly
            except Exception as error:  # noqa: BLE001  # the last line of defence: every failure is answered as a problem
                response = _refuse(request, trace, _translate(request, trace, error))
            if not response.prepared:
                sign(response, trace.request_id)
                if not request.content.is_eof():
                    response.force_close()  # what comes behind the body might be for the other door of a shared port
            status, call_id = response.status, response.headers.get("Yurt-Call-Id", "")
            return response
        finally:
            took_s = time.perf_counter() - began
            self._observe(trace.operation_id, status, took_s)
            if status >= 400 or trace.operation_id not in _QUIET:
                self._log.add(_line(request, trace, status, took_s, call_id))

    def _nothing_there(self, request: web.BaseRequest) -> NoReturn:
        methods = self._routes.methods(request.rel_url.raw_path)
        if methods:
            allowed = ", ".join(methods)
            detail = f"{shown(request.path)} takes {allowed}, not {shown(request.method)}."
            raise MethodNotAllowed(detail, extra={"allow": allowed})
        raise NotFound(f"There is nothing at {shown(request.path)}. /docs lists what there is.")


def _endpoint(row: Operation, services: Services, body_limit_bytes: int, room: Room) -> Endpoint:
    async def endpoint(request: web.BaseRequest, values: Mapping[str, str], trace: Trace) -> web.StreamResponse:
        trace.operation_id = row.operation_id
        if row.role is not None:
            services.health.admit(row.method)
            trace.principal = recognize(request, services.tokens) or await authenticate(request, services.tokens)
            require(trace.principal, row.role, for_containers=row.for_containers)
        paths.check(row.method, values)
        query = read_query(row.query, request.rel_url)
        try:
            body = await read_body(request, row.body, body_limit_bytes, room) if row.body is not None else None
            context = Context(request, values, trace.principal, query, body, services, trace.request_id, room)
            return await row.handler(context)
        finally:
            if room.held_bytes:
                room.leave(request)

    return endpoint


def _line(request: web.BaseRequest, trace: Trace, status: int, took_s: float, call_id: str) -> RequestLine:
    return RequestLine(
        time.time(),
        trace.request_id,
        request.method,
        request.rel_url.raw_path,
        status,
        took_s,
        trace.operation_id,
        trace.principal.token_id,
        call_id,
    )


def _refuse(request: web.BaseRequest, trace: Trace, error: YurtError) -> web.StreamResponse:
    if request.writer.output_size:  # a head is out: a second answer would lie inside the first one
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(error.detail) from error
    answer = problem(error, instance=request.rel_url.raw_path, request_id=trace.request_id)
    if isinstance(error, MethodNotAllowed):
        answer.headers["Allow"] = str(error.extra.get("allow", ""))
    return answer


def _translate(request: web.BaseRequest, trace: Trace, error: Exception) -> YurtError:
    """What aiohttp refuses, and what nobody expected, as one of our errors."""
    if isinstance(error, YurtError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge("The body is above the limit.")
    if isinstance(error, web.HTTPException) and error.status < 500:
        return Malformed(f"The request cannot be read: {error.reason}.")
    _log.error(
        "request_failed",
        request_id=trace.request_id,
        operation=trace.operation_id,
        method=request.method,
        path=request.rel_url.raw_path,
        exc_info=error,
    )
    return Internal("The server failed. Its log says more under this request id.")
