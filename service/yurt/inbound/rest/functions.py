"""The operations that show and change functions; those that deploy them are in `deploys`."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import BeforeValidator, Field

from yurt.domain.records import Role
from yurt.domain.validation import whole
from yurt.inbound.rest import registry_shapes as shapes
from yurt.inbound.rest.answers import cursor, cursor_key, json_answer, nothing, page
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.functions_by import find_live
from yurt.inbound.rest.models import Body, PageQuery, Shown
from yurt.inbound.rest.operations import Answer, Header, JsonBody, Operation, PageOf
from yurt.inbound.rest.registry_shapes import (
    DEFINITION_EXAMPLE,
    FUNCTION_EXAMPLE,
    FUNCTION_ID,
    NOW,
    SHA256,
    Autoscaler,
    AutoscalerPatch,
    Function,
    PlaceQuery,
    Revision,
)
from yurt.inbound.rest.times import TimeOrAge, read_since
from yurt.usecases.reading import Warned
from yurt.usecases.registry import FunctionView

_TAG = "Functions"

_MAX_REVISION = 2**31 - 1
"""Far more than anybody deploys, and a number that every store takes."""

_LISTED = {key: value for key, value in FUNCTION_EXAMPLE.items() if key != "definition"}
_REVISION = {
    "function_id": FUNCTION_ID,
    "revision": 1,
    "current": True,
    "definition": {**DEFINITION_EXAMPLE, "source": {"bundle": SHA256}},
    "bundle": SHA256,
    "created_at": NOW,
    "created_by": "tk-01kag5vvn0c6c3xz2v1jqhd4rt",
}
_KEYS = {"min_containers": 0, "max_containers": 10, "buffer_containers": 0, "scaledown_window": 60}
_AUTOSCALER = {
    "function_id": FUNCTION_ID,
    "default": _KEYS,
    "defined": {"max_containers": 4},
    "override": {"max_containers": 20, "sticky": False},
    "effective": {**_KEYS, "max_containers": 20},
}

_ETAG = Header("ETag", "The revision's number; send it in `If-Match` to change this very one.")


class FunctionsQuery(PageQuery, PlaceQuery):
    """Where the app is looked up, and which page."""


class Rollback(Body):
    """Back to what."""

    revision: Annotated[int, BeforeValidator(whole)] = Field(
        ge=1, le=_MAX_REVISION, description="The number of an earlier revision."
    )


class CancelPending(Body):
    """Which of the calls that wait."""

    before: TimeOrAge | None = Field(
        default=None, description="Only those accepted before: RFC 3339 with a zone, or an age such as `10m`."
    )


class CancelledBacklog(Shown):
    """What became of a backlog."""

    cancelled: int = Field(description="Calls that were ended.")


async def _cancel_pending(ctx: Context[PlaceQuery, CancelPending]) -> web.StreamResponse:
    services = ctx.services
    live = await find_live(ctx, ctx.path["function_id"], ctx.query.environment)
    before = read_since("before", ctx.body.before, services.clock.now(), at="/")
    return json_answer(200, {"cancelled": await services.backlog.cancel(live.function_id, before)})


async def _list(ctx: Context[FunctionsQuery, None]) -> web.StreamResponse:
    key = cursor_key("functions", ctx.query.cursor, str)
    found = await ctx.services.functions.find(
        ctx.principal,
        ctx.path["app_id"],
        environment=ctx.query.environment,
        before=key,
        limit=ctx.query.limit + 1,
    )
    views = found[: ctx.query.limit]
    following = cursor("functions", views[-1].function.id) if len(found) > len(views) else None
    shown = [shapes.function(view, _error(ctx, view), whole=False, urls=_urls(ctx, view)) for view in views]
    return page(shown, following)


async def _get_in(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    functions, where = ctx.services.functions, ctx.query.environment
    return answer_function(ctx, await functions.get_in(ctx.principal, ctx.path["app_id"], ctx.path["name"], where))


async def _delete_in(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    functions, where = ctx.services.functions, ctx.query.environment
    await functions.delete_in(ctx.principal, ctx.path["app_id"], ctx.path["name"], where)
    return nothing()


async def _get(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    where = ctx.query.environment
    return answer_function(ctx, await ctx.services.functions.get(ctx.principal, ctx.path["function_id"], where))


async def _delete(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    await ctx.services.functions.delete(ctx.principal, ctx.path["function_id"], ctx.query.environment)
    return nothing()


async def _revisions(ctx: Context[FunctionsQuery, None]) -> web.StreamResponse:
    key = cursor_key("revisions", ctx.query.cursor, int)
    function, found = await ctx.services.functions.revisions(
        ctx.principal,
        ctx.path["function_id"],
        environment=ctx.query.environment,
        before=None if key is None else min(key, _MAX_REVISION),
        limit=ctx.query.limit + 1,
    )
    rows = found[: ctx.query.limit]
    following = cursor("revisions", rows[-1].number) if len(found) > len(rows) else None
    return page([shapes.revision(row, function.revision) for row in rows], following)


async def _rollback(ctx: Context[PlaceQuery, Rollback]) -> web.StreamResponse:
    where = ctx.query.environment
    view = await ctx.services.functions.rollback(ctx.principal, ctx.path["function_id"], ctx.body.revision, where)
    return answer_function(ctx, view)


async def _rescale(ctx: Context[PlaceQuery, AutoscalerPatch]) -> web.StreamResponse:
    where = ctx.query.environment
    scaling = await ctx.services.functions.rescale(ctx.principal, ctx.path["function_id"], ctx.body, where)
    return json_answer(200, shapes.autoscaler(scaling))


def _error(ctx: Context[Any, Any], view: FunctionView) -> Any:
    return ctx.services.functions.deploy_error(view.function.id)


def _urls(ctx: Context[Any, Any], view: FunctionView) -> tuple[str, ...]:
    web = view.live.web
    return ctx.services.web.urls(web.label) if web is not None and view.function.deleted_at is None else ()


def answer_function(
    ctx: Context[Any, Any], view: FunctionView, status: int = 200, warnings: tuple[Warned, ...] = ()
) -> web.Response:
    """A function as an answer, with its `ETag`, and with `Location` where it is new."""
    headers = {"ETag": f'"{view.function.revision}"'}
    if status == 201:
        headers["Location"] = f"/v1/functions/{view.function.id}"
    shown = shapes.function(view, _error(ctx, view), warnings=warnings, urls=_urls(ctx, view))
    return json_answer(status, shown, headers)


_SHOWN = Answer(200, "The function.", Function, headers=(_ETAG,), example=FUNCTION_EXAMPLE)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/apps/{app_id}/functions",
        operation_id="listFunctions",
        tag=_TAG,
        summary="List the functions of an app",
        description="Newest first, without their definitions.",
        role=Role.READ,
        handler=_list,
        query=FunctionsQuery,
        answers=(Answer(200, "A page of functions.", PageOf(Function), example={"data": [_LISTED]}),),
    ),
    Operation(
        method="GET",
        path="/v1/apps/{app_id}/functions/{name}",
        operation_id="getFunctionOfApp",
        tag=_TAG,
        summary="Get a function of an app",
        role=Role.READ,
        handler=_get_in,
        query=PlaceQuery,
        answers=(_SHOWN,),
    ),
    Operation(
        method="DELETE",
        path="/v1/apps/{app_id}/functions/{name}",
        operation_id="deleteFunctionOfApp",
        tag=_TAG,
        summary="Delete a function of an app",
        description="As for the function by id; by name only what lives is found.",
        role=Role.DEPLOY,
        handler=_delete_in,
        query=PlaceQuery,
        answers=(Answer(204, "It is deleted."),),
    ),
    Operation(
        method="GET",
        path="/v1/functions/{function_id}",
        operation_id="getFunction",
        tag=_TAG,
        summary="Get a function",
        description="With its values in force. By id also one that was deleted, or whose app is stopped.",
        role=Role.READ,
        handler=_get,
        query=PlaceQuery,
        answers=(_SHOWN,),
    ),
    Operation(
        method="DELETE",
        path="/v1/functions/{function_id}",
        operation_id="deleteFunction",
        tag=_TAG,
        summary="Delete a function",
        description="Its queued and running inputs end `terminated`, its containers drain. By id, again it is 204.",
        role=Role.DEPLOY,
        handler=_delete,
        query=PlaceQuery,
        answers=(Answer(204, "It is deleted, now or before."),),
    ),
    Operation(
        method="GET",
        path="/v1/functions/{function_id}/revisions",
        operation_id="listRevisions",
        tag=_TAG,
        summary="List the revisions of a function",
        description="The latest first.",
        role=Role.READ,
        handler=_revisions,
        query=FunctionsQuery,
        answers=(Answer(200, "A page of revisions.", PageOf(Revision), example={"data": [_REVISION]}),),
    ),
    Operation(
        method="POST",
        path="/v1/functions/{function_id}/rollback",
        operation_id="rollbackFunction",
        tag=_TAG,
        summary="Roll a function back",
        description="Makes a new revision with the definition of an earlier one.",
        role=Role.DEPLOY,
        handler=_rollback,
        query=PlaceQuery,
        body=JsonBody(Rollback, empty='Send {"revision": 6}.', example={"revision": 6}),
        problems=(409,),
        answers=(
            Answer(200, "The function, at its new revision.", Function, headers=(_ETAG,), example=FUNCTION_EXAMPLE),
        ),
    ),
    Operation(
        method="POST",
        path="/v1/functions/{function_id}/cancel-pending",
        operation_id="cancelPendingCalls",
        tag=_TAG,
        summary="Cancel what waits",
        description="Ends the calls of the function that wait, whoever made them: queued, delayed, to be retried. What "
        "runs goes on, and so do maps, which are cancelled by their own ids. The answer leaves once it is stored.",
        role=Role.DEPLOY,
        handler=_cancel_pending,
        query=PlaceQuery,
        body=JsonBody(CancelPending, optional=True, example={"before": "10m"}),
        problems=(404, 409, 503),
        answers=(Answer(200, "They are cancelled.", CancelledBacklog, example={"cancelled": 1200}),),
    ),
    Operation(
        method="PATCH",
        path="/v1/functions/{function_id}/autoscaler",
        operation_id="updateAutoscaler",
        tag=_TAG,
        summary="Override the autoscaler",
        description=(
            "At once, without a new revision. `max_containers` 0 pauses the function: its inputs wait. The next "
            "revision ends the override unless it is `sticky`. `{}` changes nothing and shows what holds."
        ),
        role=Role.DEPLOY,
        handler=_rescale,
        query=PlaceQuery,
        body=JsonBody(
            AutoscalerPatch, empty='Send {"max_containers": 20}, for instance.', example={"max_containers": 20}
        ),
        problems=(409,),
        answers=(Answer(200, "What holds now, and why.", Autoscaler, example=_AUTOSCALER),),
    ),
)
"""Rows of the operation table."""
