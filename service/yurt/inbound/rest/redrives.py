"""The operations that repeat what failed: one call, a map, a backlog."""

from enum import StrEnum

from aiohttp import web
from pydantic import Field

from yurt.domain.records import CallKind, Outcome, Role
from yurt.inbound.rest.answers import json_answer
from yurt.inbound.rest.call_shapes import FunctionCall
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.functions_by import find_live
from yurt.inbound.rest.models import Body, Shown
from yurt.inbound.rest.operations import Answer, Header, JsonBody, Operation
from yurt.inbound.rest.registry_shapes import PlaceQuery
from yurt.inbound.rest.times import TimeOrAge, read_since
from yurt.usecases.redrives import NAMED

_TAG = "Invocations"


class Unsuccessful(StrEnum):
    """How a call may have ended that is to be repeated."""

    USER_ERROR = Outcome.USER_ERROR.value
    TIMEOUT = Outcome.TIMEOUT.value
    INIT_FAILURE = Outcome.INIT_FAILURE.value
    OUT_OF_MEMORY = Outcome.OUT_OF_MEMORY.value
    CRASHED = Outcome.CRASHED.value
    INTERNAL_ERROR = Outcome.INTERNAL_ERROR.value
    EXPIRED = Outcome.EXPIRED.value
    CANCELLED = Outcome.CANCELLED.value


_FAILURES: list[Unsuccessful] = [one for one in Unsuccessful if one is not Unsuccessful.CANCELLED]


class RedriveCalls(Body):
    """Which of the calls that did not succeed."""

    since: TimeOrAge = Field(
        description="Those accepted at or after: RFC 3339 with a zone, or an age such as `10m`, `2h`, `7d`."
    )
    outcomes: list[Unsuccessful] = Field(
        default=_FAILURES,
        min_length=1,
        description="Those that ended so. Without it all that failed; cancelled ones only where `cancelled` is named.",
    )


class RedrivenCalls(Shown):
    """What became of the calls that did not succeed."""

    redriven: int = Field(description="Calls that were repeated by new ones.")
    call_ids: list[str] = Field(description=f"The first {NAMED} of the new ones, in the order of the old ones.")
    maps_left: int = Field(description="Maps that ended so: each is repeated by its own id.")


async def _redrive(ctx: Context[None, None]) -> web.StreamResponse:
    services = ctx.services
    failed, _ = await services.calls.get(ctx.principal, ctx.path["call_id"])
    live = await find_live(ctx, failed.call.function_id, None)
    more: dict[str, object] = {"redrive_of": services.shaper.call_id(failed.call.seq)}
    if failed.call.kind == CallKind.MAP:
        upload = await services.redrives.map(ctx.principal, live, failed)
        call_id = services.shaper.call_id(upload.map.seq)
        view, _ = await services.calls.get(ctx.principal, call_id)
        if upload.refusal is not None:
            more["input_error"] = upload.refusal.detail
    else:
        begun = await services.redrives.call(ctx.principal, live, failed)
        call_id = services.shaper.call_id(begun.seq)
        view = await services.calls.view_of(begun)
    where = f"/v1/function-calls/{call_id}"
    headers = {"Yurt-Call-Id": call_id, "Content-Location": where, "Location": where}
    return json_answer(202, await services.shaper.shown(services.calls, view) | more, headers)


async def _redrive_calls(ctx: Context[PlaceQuery, RedriveCalls]) -> web.StreamResponse:
    services = ctx.services
    live = await find_live(ctx, ctx.path["function_id"], ctx.query.environment)
    since = read_since("since", ctx.body.since, services.clock.now(), at="/")
    outcomes = [one.value for one in ctx.body.outcomes]
    told = await services.redrives.backlog(ctx.principal, live, outcomes, since or 0.0)
    call_ids = [services.shaper.call_id(seq) for seq in told.seqs]
    return json_answer(200, {"redriven": told.count, "call_ids": call_ids, "maps_left": told.maps_left})


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/function-calls/{call_id}/redrive",
        operation_id="redriveFunctionCall",
        tag=_TAG,
        summary="Repeat a failed call",
        description="A new call with the arguments, metadata and priority of one that failed or was cancelled, for the "
        "revision that is current now. The old one stays as it is. Of a map, a new map of the inputs that failed or "
        "were cancelled, in their order and with the same `return_exceptions`; also of a map that ended as `success` "
        "with such inputs. The answer leaves once all of it is accepted.",
        role=Role.INVOKE,
        handler=_redrive,
        answers=(
            Answer(
                202,
                "The new call is accepted; its `redrive_of` names the old one.",
                FunctionCall,
                headers=(
                    Header("Yurt-Call-Id", "The new call's id."),
                    Header("Content-Location", "Where the new call can be looked at."),
                    Header("Location", "Where the new call can be looked at."),
                ),
            ),
        ),
        problems=(404, 409, 410, 422, 429, 503),
    ),
    Operation(
        method="POST",
        path="/v1/functions/{function_id}/redrive",
        operation_id="redriveFunctionCalls",
        tag=_TAG,
        summary="Repeat the failed calls of a function",
        description="Each failed call, whoever made it, is repeated by a new one of yours, oldest first, as "
        "`POST /function-calls/{call_id}/redrive` would; maps are left to that. A call that has been repeated before "
        "is left out, so that asking twice is safe, and asking again after an error goes on with the rest. The answer "
        "leaves once all new calls are accepted; each old one then shows its own as `redriven_as`.",
        role=Role.INVOKE,
        handler=_redrive_calls,
        query=PlaceQuery,
        body=JsonBody(
            RedriveCalls, empty='Send {"since": "1h"}.', example={"since": "1h", "outcomes": ["timeout", "crashed"]}
        ),
        answers=(
            Answer(
                200,
                "They are repeated.",
                RedrivenCalls,
                example={"redriven": 1, "call_ids": ["fc-0000f3w5kd0015d9g7yhq2bncm"], "maps_left": 0},
            ),
        ),
        problems=(404, 409, 429, 503),
    ),
)
"""Rows of the operation table."""
