"""The operations on calls that were made: look, list, cancel, follow."""

from contextlib import nullcontext
from typing import Literal

from aiohttp import web
from pydantic import Field

from yurt.domain.errors import NotFound
from yurt.domain.naming import shown
from yurt.domain.records import CallKind, CallStatus, Role
from yurt.inbound.rest.answers import cursor, cursor_key, json_answer, page
from yurt.inbound.rest.call_shapes import FunctionCall, InvocationResult, attempt
from yurt.inbound.rest.callback_shapes import callback
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.functions_by import function_id_of
from yurt.inbound.rest.models import AppRef, Body, FunctionRef, Name, PageQuery, Query, Text
from yurt.inbound.rest.operations import Answer, Header, JsonBody, Operation, PageOf
from yurt.inbound.rest.streams import EVENT_ID_PATTERN, EVENT_SCHEMA, stream_events
from yurt.inbound.rest.times import TimeOrAge, read_since
from yurt.ports import CallFilter
from yurt.usecases.views import View

_TAG = "Invocations"
MAX_WAIT_S = 60


class GetQuery(Query):
    """How long to wait, and what else to tell."""

    wait: int = Field(
        default=0, ge=0, le=MAX_WAIT_S, description="Hold the answer until the call ends, at most so many seconds."
    )
    include: str | None = Field(
        default=None,
        pattern="^(args|attempt_history)(,(args|attempt_history))?$",
        description="`args`, `attempt_history`, or both with a comma between.",
    )


class ListQuery(PageQuery):
    """Which calls."""

    function_id: FunctionRef | None = None
    app_id: AppRef | None = None
    environment: Name | None = Field(default=None, description="For names, and as a filter.")
    kind: CallKind | None = None
    status: CallStatus | None = None
    since: TimeOrAge | None = None
    metadata: dict[Text, Text] | None = Field(default=None, description="`metadata.KEY=value`: calls with that label.")
    include: Literal["result"] | None = Field(default=None, description="`result`: with what the calls returned.")


class InvocationsQuery(PageQuery):
    """Which calls of the function."""

    environment: Name | None = Field(default=None, description="For `app:function`; else the token's, else `main`.")
    kind: CallKind | None = None
    status: CallStatus | None = None
    include: Literal["result"] | None = Field(default=None, description="`result`: with what the calls returned.")


class CancelCall(Body):
    """How to cancel."""

    terminate_containers: bool = Field(
        default=False, description="End the container that runs it at once, instead of asking the function to stop."
    )


async def _get(ctx: Context[GetQuery, None]) -> web.StreamResponse:
    services = ctx.services
    with services.calls.waiters if ctx.query.wait else nullcontext():
        view, _ = await services.calls.get(ctx.principal, ctx.path["call_id"], wait_s=ctx.query.wait)
    allowed = ctx.principal.allows(Role.INVOKE)
    out = await services.shaper.shown(services.calls, view, with_value=allowed)
    if not allowed:
        out.pop("error", None)
    if (told := await services.callbacks.of(view.call.seq)) is not None:
        out["callback"] = callback(told)
    if (repeated := await services.redrives.of(view.call.seq)) is not None:
        out["redrive_of"] = services.shaper.call_id(repeated)
    if view.result is not None and (latest := await services.redrives.latest(view.call.seq)) is not None:
        out["redriven_as"] = services.shaper.call_id(latest)
    include = (ctx.query.include or "").split(",")
    if "args" in include and allowed:
        out |= await services.shaper.arguments(services.calls, view.call)
    if "attempt_history" in include:
        out["attempt_history"] = [attempt(record) for record in await services.calls.attempts(view.call.seq)]
    return json_answer(200, out)


async def _page(ctx: Context[PageQuery, None], views: list[View], *, values: bool) -> web.StreamResponse:
    limit, services = ctx.query.limit, ctx.services
    allowed = ctx.principal.allows(Role.INVOKE)
    shown = []
    for view in views[:limit]:
        whole = values and allowed and (view.result is None or view.result.items is None)
        out = await services.shaper.shown(services.calls, view, with_value=whole)
        if not allowed:
            out.pop("error", None)
        shown.append(out)
    return page(shown, cursor("calls", views[limit - 1].call.seq) if len(views) > limit else None)


async def _list(ctx: Context[ListQuery, None]) -> web.StreamResponse:
    query, services = ctx.query, ctx.services
    environment = query.environment
    if environment is not None:
        environment = services.environments.resolve(ctx.principal, environment)
    wanted = CallFilter(
        function_id=await function_id_of(ctx, query.function_id, query.environment) if query.function_id else None,
        app_id=(await services.apps.get(ctx.principal, query.app_id, query.environment)).id if query.app_id else None,
        environment=environment,
        kinds=(query.kind,) if query.kind else (),
        statuses=(query.status,) if query.status else (),
        since=read_since("since", query.since, services.clock.now()),
        metadata=query.metadata or {},
    )
    values = query.include == "result"
    views = await services.calls.find(
        ctx.principal, wanted, before=cursor_key("calls", query.cursor, int), limit=query.limit + 1, values=values
    )
    return await _page(ctx, views, values=values)


async def _invocations(ctx: Context[InvocationsQuery, None]) -> web.StreamResponse:
    query, services = ctx.query, ctx.services
    function_id = await function_id_of(ctx, ctx.path["function_id"], query.environment)
    wanted = CallFilter(
        function_id=function_id,
        kinds=(query.kind,) if query.kind else (),
        statuses=(query.status,) if query.status else (),
    )
    values = query.include == "result"
    views = await services.calls.find(
        ctx.principal, wanted, before=cursor_key("calls", query.cursor, int), limit=query.limit + 1, values=values
    )
    return await _page(ctx, views, values=values)


async def _cancel(ctx: Context[None, CancelCall]) -> web.StreamResponse:
    services = ctx.services
    terminate = services.containers.terminate if ctx.body.terminate_containers else None
    view, _ = await services.calls.cancel(ctx.principal, ctx.path["call_id"], terminate=terminate)
    return json_answer(200, await services.shaper.shown(services.calls, view))


async def _events(ctx: Context[None, None]) -> web.StreamResponse:
    call_id = ctx.path["call_id"]
    seq = ctx.services.shaper.seq(call_id)
    if seq is None:
        raise NotFound(f"There is no call {shown(call_id)} that this token can see.")
    await ctx.services.calls.get(ctx.principal, call_id)
    with ctx.services.calls.waiters:
        return await stream_events(ctx, call_id, seq)


_EXAMPLE = {
    "call_id": "fc-0000f3w5kd0015d9g7yhq2bncm",
    "function_id": "fu-01kag5vvn0c6c3xz2v1jqhd4rt",
    "kind": "spawn",
    "status": "pending",
    "created_at": "2026-11-22T10:15:30.125Z",
    "attempts": 0,
    "num_inputs": 1,
    "priority": 0,
    "pending_reason": {
        "code": "container_starting",
        "message": "A container of thumbs:resize is starting.",
        "since": "2026-11-22T10:15:30.125Z",
        "ahead": 0,
        "ahead_exact": True,
    },
}

_LAST_EVENT = Header(
    "Last-Event-ID", "The id of the last event seen, if any.", {"type": "string", "pattern": EVENT_ID_PATTERN}
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/functions/{function_id}/invocations",
        operation_id="listInvocations",
        tag=_TAG,
        summary="List a function's calls",
        description="Calls of every kind, newest first; without what they returned unless `include=result`.",
        role=Role.READ,
        handler=_invocations,
        query=InvocationsQuery,
        answers=(Answer(200, "A page of calls.", PageOf(InvocationResult)),),
        problems=(404,),
    ),
    Operation(
        method="GET",
        path="/v1/function-calls",
        operation_id="listFunctionCalls",
        tag=_TAG,
        summary="List calls",
        description="Calls that the token can see, newest first.",
        role=Role.READ,
        handler=_list,
        query=ListQuery,
        answers=(Answer(200, "A page of calls.", PageOf(FunctionCall)),),
        problems=(404,),
    ),
    Operation(
        method="GET",
        path="/v1/function-calls/{call_id}",
        operation_id="getFunctionCall",
        for_containers=True,
        tag=_TAG,
        summary="Look at a call",
        description=(
            "The call as it stands, with its result once it has one. `wait` holds the answer until it ends. A token of "
            "the role `read` sees neither results nor errors."
        ),
        role=Role.READ,
        handler=_get,
        query=GetQuery,
        answers=(Answer(200, "The call.", FunctionCall, example=_EXAMPLE),),
        problems=(404, 410, 429),
    ),
    Operation(
        method="POST",
        path="/v1/function-calls/{call_id}/cancel",
        operation_id="cancelFunctionCall",
        for_containers=True,
        tag=_TAG,
        summary="Cancel a call",
        description="Ends it as `terminated`. The answer leaves once that is stored; user code is told to stop.",
        role=Role.INVOKE,
        handler=_cancel,
        body=JsonBody(CancelCall, optional=True),
        answers=(Answer(200, "It is cancelled, or was before.", FunctionCall),),
        problems=(404, 409, 410),
    ),
    Operation(
        method="GET",
        path="/v1/function-calls/{call_id}/events",
        operation_id="getFunctionCallEvents",
        for_containers=True,
        tag=_TAG,
        summary="Follow a call",
        description=(
            "Server-sent events: `pending` with the reason, `state`, `log`, `item` with each item of a generator, and "
            "`end` with the call, after which the stream closes. A comment every 15 s keeps it open; `Last-Event-ID` "
            "resumes after the last item and the last log line. "
            "`log` needs a token that may read logs: role `deploy`."
        ),
        role=Role.INVOKE,
        handler=_events,
        answers=(Answer(200, "A stream of events.", EVENT_SCHEMA, media="text/event-stream"),),
        problems=(404, 410, 429),
        headers=(_LAST_EVENT,),
    ),
)
"""Rows of the operation table."""
