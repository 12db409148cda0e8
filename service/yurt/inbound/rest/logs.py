"""The operations on logs: of a function, a container, a call."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Literal

from aiohttp import web
from pydantic import Field

from yurt.domain.errors import NotFound
from yurt.domain.naming import shown
from yurt.domain.records import Role
from yurt.inbound.rest.answers import json_answer
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.functions_by import function_id_of
from yurt.inbound.rest.models import ENDLESS, Name, Query, Shown, Time
from yurt.inbound.rest.operations import Answer, Operation
from yurt.inbound.rest.streams import stream_lines
from yurt.inbound.rest.times import TimeOrAge, read_since
from yurt.ports import LogLine, LogQuery

_TAG = "Logs"


class LogsQuery(Query):
    """Which lines."""

    environment: Name | None = Field(default=None, description="For `app:function`; else the token's, else `main`.")
    since: TimeOrAge | None = None
    until: TimeOrAge | None = None
    tail: int | None = Field(default=None, ge=1, le=20_000, description="Only the last so many.")
    search: str | None = Field(default=None, min_length=1, max_length=200, description="Only lines that contain this.")
    follow: bool = Field(default=False, json_schema_extra=ENDLESS)
    """Told of in the operations' descriptions."""


class Line(Shown):
    """A log line."""

    time: Time
    stream: Literal["stdout", "stderr", "system"]
    container_id: str
    call_id: str | None = None
    input_id: str | None = None
    attempt: int | None = None
    text: str


class Lines(Shown):
    """Log lines, in order of time."""

    data: list[Line]


def _wanted(ctx: Context[LogsQuery, None], **which: str | int) -> LogQuery:
    query, now = ctx.query, ctx.services.clock.now()
    return LogQuery(
        since=read_since("since", query.since, now),
        until=read_since("until", query.until, now),
        search=query.search,
        tail=query.tail,
        **which,  # type: ignore[arg-type]  # the names of one field each, given below
    )


async def _answer(
    ctx: Context[LogsQuery, None], wanted: LogQuery, follow: Callable[[LogQuery], AsyncIterator[LogLine]]
) -> web.StreamResponse:
    services = ctx.services
    if ctx.query.follow:
        return await stream_lines(ctx, follow(wanted))
    lines = await services.logs.read(wanted)
    return json_answer(200, {"data": [services.shaper.line(line) for line in lines]})


async def _of_function(ctx: Context[LogsQuery, None]) -> web.StreamResponse:
    function_id = await function_id_of(ctx, ctx.path["function_id"], ctx.query.environment)
    return await _answer(ctx, _wanted(ctx, function_id=function_id), ctx.services.logs.follow)


async def _of_container(ctx: Context[LogsQuery, None]) -> web.StreamResponse:
    view = await ctx.services.containers.get(ctx.principal, ctx.path["container_id"])
    wanted = _wanted(ctx, container_id=view.record.id, function_id=view.record.function_id)
    return await _answer(ctx, wanted, ctx.services.logs.follow)


async def _of_call(ctx: Context[LogsQuery, None]) -> web.StreamResponse:
    call_id = ctx.path["call_id"]
    seq = ctx.services.shaper.seq(call_id)
    if seq is None:
        raise NotFound(f"There is no call {shown(call_id)} that this token can see.")
    view, _ = await ctx.services.calls.get(ctx.principal, call_id)
    wanted = _wanted(ctx, seq=seq, function_id=view.call.function_id)
    return await _answer(ctx, wanted, partial(ctx.services.events.lines, ctx.principal, call_id, seq))


_DESCRIPTION = "Lines in order of time. With `follow=true` the answer is NDJSON and goes on until the client leaves."
_DESCRIPTION_OF_CALL = (
    "Lines in order of time. With `follow=true` the answer is NDJSON and goes on until the call ends."
)
_ANSWERS = (Answer(200, "Log lines.", Lines),)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/functions/{function_id}/logs",
        operation_id="getFunctionLogs",
        tag=_TAG,
        summary="Read a function's logs",
        description=_DESCRIPTION,
        role=Role.DEPLOY,
        handler=_of_function,
        query=LogsQuery,
        answers=_ANSWERS,
    ),
    Operation(
        method="GET",
        path="/v1/containers/{container_id}/logs",
        operation_id="getContainerLogs",
        tag=_TAG,
        summary="Read a container's logs",
        description=_DESCRIPTION,
        role=Role.DEPLOY,
        handler=_of_container,
        query=LogsQuery,
        answers=_ANSWERS,
    ),
    Operation(
        method="GET",
        path="/v1/function-calls/{call_id}/logs",
        operation_id="getFunctionCallLogs",
        tag=_TAG,
        summary="Read a call's logs",
        description=_DESCRIPTION_OF_CALL,
        role=Role.DEPLOY,
        handler=_of_call,
        query=LogsQuery,
        answers=_ANSWERS,
        problems=(404, 410),
    ),
)
"""Rows of the operation table."""
