"""The door itself: from the operation table to an aiohttp application.

One middleware sees every request: it names it, turns errors into problems, and notes its line. Around each handler
stands an endpoint that admits, authenticates and reads, in that order, so that a handler only ever sees what is right.
"""

import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler as AiohttpHandler
from aiohttp.typedefs import Middleware

from yurt.domain.errors import Malformed, NotFound, TooLarge, YurtError
from yurt.domain.naming import shown
from yurt.domain.times import rfc3339
from yurt.inbound.rest import paths
from yurt.inbound.rest.answers import sign
from yurt.inbound.rest.auth import authenticate, require
from yurt.inbound.rest.bodies import read_body
from yurt.inbound.rest.context import Context, Services
from yurt.inbound.rest.docs import add_pages
from yurt.inbound.rest.operations import BODY_LIMIT_BYTES, Operation
from yurt.inbound.rest.problems import Internal, MethodNotAllowed, problem
from yurt.inbound.rest.queries import read_query
from yurt.inbound.rest.table import OPERATIONS
from yurt.logging import RequestLine, RequestLog
from yurt.usecases.principals import NOBODY, Principal

_log = structlog.get_logger(__name__)

_MAX_PARTS = 10
"""More than any path of the table has."""

_CLIENT_WENT = 499
"""As nginx notes it: nobody was there to read a status."""

_QUIET = frozenset({"getHealth", "getReadiness", "getMetrics"})
"""Asked every few seconds by machines; only their failures get a line."""


@dataclass(slots=True)
class Trace:
    """What the middleware learns of a request on its way."""

    request_id: str
    operation_id: str = ""
    principal: Principal = NOBODY


TRACE = web.RequestKey("trace", Trace)


def create_app(
    services: Services,
    log: RequestLog,
    *,
    operations: Sequence[Operation] = OPERATIONS,
    body_limit_bytes: int = BODY_LIMIT_BYTES,
    open_metrics: bool = False,
) -> web.Application:
    """The REST door as an application. Serve it without aiohttp's access log: requests have lines of their own.

    Args:
        services: what handlers call.
        log: takes the line of each request; its `run` must be running.
        operations: the table.
        body_limit_bytes: larger bodies are refused.
        open_metrics: let anybody read `/metrics`.
    """
    if open_metrics:
        operations = [replace(row, role=None) if row.operation_id == "getMetrics" else row for row in operations]
    add_pages(services.pages, operations, services.health)
    app = web.Application(middlewares=[_middleware(services, log)], client_max_size=body_limit_bytes)
    for row in _most_fixed_first(operations):
        app.router.add_route(row.method, row.path, _endpoint(row, services, body_limit_bytes))
    return app


def _most_fixed_first(operations: Iterable[Operation]) -> list[Operation]:
    """`/a/fixed` before `/a/{name}`: the router takes the first that fits. Otherwise as in the table."""

    def variable_parts(row: Operation) -> list[bool]:
        parts = [part.startswith("{") for part in row.path.split("/")]
        return parts + [False] * (_MAX_PARTS - len(parts))

    return sorted(operations, key=variable_parts)


def _endpoint(
    row: Operation, services: Services, body_limit_bytes: int
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        trace = request[TRACE]
        trace.operation_id = row.operation_id
        if row.role is not None:
            services.health.admit(row.method)
            trace.principal = await authenticate(request, services.tokens)
            require(trace.principal, row.role)
        paths.check(row.method, request.match_info)
        query = read_query(row.query, request.rel_url.query)
        body = await read_body(request, row.body, body_limit_bytes) if row.body is not None else None
        return await row.handler(Context(request, trace.principal, query, body, services, trace.request_id))

    return endpoint


def _middleware(services: Services, log: RequestLog) -> Middleware:
    observe = services.metrics.requests.observe
    life, numbers = secrets.token_hex(4), itertools.count(1)  # unique, and cheaper than a random name for each

    @web.middleware
    async def middleware(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
        began = time.perf_counter()
        trace = request[TRACE] = Trace(f"{life}{next(numbers):08x}")
        status, call_id = _CLIENT_WENT, ""
        try:
            response = await _answer(request, handler, trace)
            if not response.prepared:
                sign(response, trace.request_id)
            status, call_id = response.status, response.headers.get("Yurt-Call-Id", "")
            return response
        finally:
            took_s = time.perf_counter() - began
            observe(trace.operation_id, status, took_s)
            if status >= 400 or trace.operation_id not in _QUIET:
                log.add(_line(request, trace, status, took_s, call_id))

    return middleware


def _line(request: web.Request, trace: Trace, status: int, took_s: float, call_id: str) -> RequestLine:
    return RequestLine(
        timestamp=rfc3339(time.time()),
        request_id=trace.request_id,
        method=request.method,
        path=request.rel_url.raw_path,
        status=status,
        took_ms=round(took_s * 1000, 3),
        operation=trace.operation_id,
        token_id=trace.principal.token_id,
        call_id=call_id,
    )


async def _answer(request: web.Request, handler: AiohttpHandler, trace: Trace) -> web.StreamResponse:
    try:
        return await handler(request)
    except ConnectionError:
        raise  # the client is gone; aiohttp closes the connection quietly
    except YurtError as error:
        return _refuse(request, trace, error)
    except web.HTTPException as error:
        return _refuse(request, trace, _translate(request, error))
    except Exception as error:  # noqa: BLE001  # the last line of defence: a 500, and the text to the log alone
        _log.error(
            "request_failed",
            request_id=trace.request_id,
            operation=trace.operation_id,
            method=request.method,
            path=request.rel_url.raw_path,
            exc_info=error,
        )
        return _refuse(request, trace, Internal("The server failed. Its log says more under this request id."))


def _refuse(request: web.Request, trace: Trace, error: YurtError) -> web.StreamResponse:
    if request.writer.output_size:  # a head is out: a second answer would lie inside the first one
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(error.detail) from error
    answer = problem(error, instance=request.rel_url.raw_path, request_id=trace.request_id)
    if isinstance(error, MethodNotAllowed):
        answer.headers["Allow"] = str(error.extra.get("allow", ""))
    return answer


def _translate(request: web.Request, error: web.HTTPException) -> YurtError:
    """What aiohttp itself refuses, as one of our errors."""
    path = shown(request.path)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowed(f"{path} takes {allowed}, not {request.method}.", extra={"allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return NotFound(f"There is nothing at {path}. /docs lists what there is.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge("The body is above the limit.")
    if error.status < 500:
        return Malformed(f"The request cannot be read: {error.reason}.")
    return Internal("The server failed.")
