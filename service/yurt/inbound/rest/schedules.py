"""The operations on schedules: when functions are called by themselves."""

from enum import StrEnum
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from yurt.domain.records import Role, Tick
from yurt.domain.times import rfc3339
from yurt.inbound.rest.answers import cursor, cursor_key, json_answer, page
from yurt.inbound.rest.call_shapes import FunctionCall
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.functions_by import function_id_of
from yurt.inbound.rest.models import AppRef, FunctionRef, Name, PageQuery, Shown, Time
from yurt.inbound.rest.operations import Answer, Header, Operation, PageOf
from yurt.inbound.rest.registry_shapes import FUNCTION_ID, NOW
from yurt.usecases.schedules import RECENT, ScheduleView

_TAG = "Schedules"


class ScheduleState(StrEnum):
    """Whether a schedule makes calls by itself."""

    ACTIVE = "active"
    PAUSED = "paused"
    INACTIVE = "inactive"


class ScheduledCall(Shown):
    """A call that a schedule made."""

    call_id: str
    scheduled_for: Time
    manual: bool = Field(description="Somebody asked for it; `scheduled_for` is then when.")


class Schedule(Shown):
    """When a function is called by itself."""

    schedule_id: str
    function_id: str
    function: str = Field(description="`app:function`.")
    app_id: str
    environment: str
    state: ScheduleState = Field(description="`inactive`: its app is ephemeral, and it runs only when it is told to.")
    cron: str | None = None
    timezone: str | None = Field(default=None, description="Of `cron`.")
    period: dict[str, float] | None = Field(default=None, description="The parts that are not 0.")
    overlap: Literal["allow", "skip"]
    created_at: Time
    paused_at: Time | None = None
    next_at: Time | None = Field(default=None, description="When it calls the function next, while it is active.")
    last_call_id: str | None = None
    last_call_at: Time | None = None
    last_skipped_at: Time | None = Field(
        default=None, description="The last tick without a call because an earlier one had not ended."
    )
    recent_calls: list[ScheduledCall] | None = Field(
        default=None, description=f"The latest {RECENT} that are kept, the latest first. Left out of lists."
    )


class SchedulesQuery(PageQuery):
    """Which schedules."""

    function_id: FunctionRef | None = None
    app_id: AppRef | None = None
    environment: Name | None = Field(default=None, description="Only of this one; names are looked up there.")


def _state(view: ScheduleView) -> ScheduleState:
    if not view.held.deployed:
        return ScheduleState.INACTIVE
    return ScheduleState.ACTIVE if view.held.active else ScheduleState.PAUSED


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)


def _shown(ctx: Context[Any, None], view: ScheduleView, recent: list[Tick] | None = None) -> Schedule:
    record, spec, mark = view.held.record, view.held.spec, view.held.mark
    call_id = ctx.services.shaper.call_id
    return Schedule(
        schedule_id=record.id,
        function_id=record.function_id,
        function=view.live.address,
        app_id=record.app_id,
        environment=record.environment,
        state=_state(view),
        cron=spec.cron,
        timezone=(spec.timezone or "UTC") if spec.cron is not None else None,
        period=spec.period.model_dump(exclude_defaults=True) if spec.period is not None else None,
        overlap=spec.overlap,
        created_at=rfc3339(record.created_at),
        paused_at=_time(record.paused_at),
        next_at=_time(view.next_at),
        last_call_id=call_id(mark.seq) if mark.seq else None,
        last_call_at=_time(mark.called_at),
        last_skipped_at=_time(mark.skipped_at),
        recent_calls=None
        if recent is None
        else [
            ScheduledCall(call_id=call_id(tick.seq), scheduled_for=rfc3339(tick.due_at), manual=tick.manual)
            for tick in recent
        ],
    )


async def _answer(ctx: Context[None, None], view: ScheduleView) -> web.StreamResponse:
    recent = await ctx.services.schedules.recent(view.held.record.id)
    return json_answer(200, _shown(ctx, view, recent))


async def _list(ctx: Context[SchedulesQuery, None]) -> web.StreamResponse:
    query = ctx.query
    function_id = await function_id_of(ctx, query.function_id, query.environment) if query.function_id else None
    app = await ctx.services.apps.get(ctx.principal, query.app_id, query.environment) if query.app_id else None
    if query.environment is not None:
        ctx.services.environments.get(ctx.principal, query.environment)  # refuses one that is not there
    found = ctx.services.schedules.find(
        ctx.principal,
        environment=query.environment,
        function_id=function_id,
        app_id=None if app is None else app.id,
        before=cursor_key("schedules", query.cursor, str),
        limit=query.limit + 1,
    )
    views = found[: query.limit]
    following = cursor("schedules", views[-1].held.record.id) if len(found) > len(views) else None
    return page([_shown(ctx, view) for view in views], following)


async def _get(ctx: Context[None, None]) -> web.StreamResponse:
    return await _answer(ctx, ctx.services.schedules.get(ctx.principal, ctx.path["schedule_id"]))


async def _pause(ctx: Context[None, None]) -> web.StreamResponse:
    return await _answer(ctx, await ctx.services.schedules.pause(ctx.principal, ctx.path["schedule_id"]))


async def _resume(ctx: Context[None, None]) -> web.StreamResponse:
    return await _answer(ctx, await ctx.services.schedules.resume(ctx.principal, ctx.path["schedule_id"]))


async def _run(ctx: Context[None, None]) -> web.StreamResponse:
    services = ctx.services
    begun = await services.schedules.run(ctx.principal, ctx.path["schedule_id"])
    call_id = services.shaper.call_id(begun.seq)
    where = f"/v1/function-calls/{call_id}"
    headers = {"Yurt-Call-Id": call_id, "Content-Location": where, "Location": where}
    view = await services.calls.view_of(begun)
    return json_answer(202, await services.shaper.shown(services.calls, view), headers)


_EXAMPLE = {
    "schedule_id": "sc-01kag5vvn0c6c3xz2v1jqhd4rt",
    "function_id": FUNCTION_ID,
    "function": "thumbs:sweep",
    "app_id": "ap-01kag5vvn0c6c3xz2v1jqhd4rt",
    "environment": "main",
    "state": "active",
    "cron": "0 9 * * 1-5",
    "timezone": "Europe/Berlin",
    "overlap": "allow",
    "created_at": NOW,
    "next_at": "2026-11-23T08:00:00.000Z",
}
_SHOWN = Answer(200, "The schedule.", Schedule, example={**_EXAMPLE, "recent_calls": []})

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/schedules",
        operation_id="listSchedules",
        tag=_TAG,
        summary="List schedules",
        description="Those of live functions that the token can see, later ones first. A function has its schedule by "
        "the key `schedule` of its definition.",
        role=Role.READ,
        handler=_list,
        query=SchedulesQuery,
        answers=(Answer(200, "A page of schedules.", PageOf(Schedule), example={"data": [_EXAMPLE]}),),
        problems=(404,),
    ),
    Operation(
        method="GET",
        path="/v1/schedules/{schedule_id}",
        operation_id="getSchedule",
        tag=_TAG,
        summary="Look at a schedule",
        role=Role.READ,
        handler=_get,
        answers=(_SHOWN,),
    ),
    Operation(
        method="POST",
        path="/v1/schedules/{schedule_id}/pause",
        operation_id="pauseSchedule",
        tag=_TAG,
        summary="Pause a schedule",
        description="It makes no more calls by itself, also over restarts and over deploys that leave it as it is. Its "
        "calls that were accepted go on. Again it is 200.",
        role=Role.DEPLOY,
        handler=_pause,
        answers=(_SHOWN,),
    ),
    Operation(
        method="POST",
        path="/v1/schedules/{schedule_id}/resume",
        operation_id="resumeSchedule",
        tag=_TAG,
        summary="Resume a schedule",
        description="It ticks again from now on: what it missed while it was paused is not made up for. Again it is "
        "200.",
        role=Role.DEPLOY,
        handler=_resume,
        answers=(_SHOWN,),
    ),
    Operation(
        method="POST",
        path="/v1/schedules/{schedule_id}/run",
        operation_id="runSchedule",
        tag=_TAG,
        summary="Run a schedule now",
        description="Makes its call at once, also where it is paused or inactive, and whatever its `overlap` says. Its "
        "ticks stay as they are.",
        role=Role.INVOKE,
        handler=_run,
        answers=(
            Answer(
                202,
                "The call is accepted.",
                FunctionCall,
                headers=(
                    Header("Yurt-Call-Id", "The call's id."),
                    Header("Content-Location", "Where the call can be looked at."),
                    Header("Location", "Where the call can be looked at."),
                ),
            ),
        ),
        problems=(409, 429),
    ),
)
"""Rows of the operation table."""
