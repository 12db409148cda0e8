"""The operations on containers: who runs where, since when, doing what, ended why."""

import json

from aiohttp import web
from pydantic import Field

from yurt.domain.records import ContainerState, Role
from yurt.domain.times import rfc3339
from yurt.inbound.rest.answers import cursor, cursor_key, json_answer, nothing, page
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.functions_by import function_id_of
from yurt.inbound.rest.models import FunctionRef, Name, PageQuery, Shown, Time
from yurt.inbound.rest.operations import Answer, Operation, PageOf
from yurt.usecases.containers import ContainerView

_TAG = "Containers"


class EngineRef(Shown):
    """The engine's own name for a container; opaque."""

    name: str
    ref: str | None = None


class Container(Shown):
    """One running worker."""

    container_id: str
    function_id: str
    function: str = Field(description="`app:function`.")
    environment: str
    revision: int
    parameters: dict[str, str | int | bool] | None = Field(
        default=None, description="Of a class with parameters: what its object is made with."
    )
    state: ContainerState
    created_at: Time
    ready_at: Time | None = None
    ended_at: Time | None = None
    end_reason: str | None = Field(default=None, description="Why it ended, or is about to.")
    exit_code: int | None = None
    signal: int | None = None
    running_inputs: list[str] = Field(description="What it runs now.")
    memory_mib: float | None = Field(default=None, description="Resident memory of its processes.")
    cpu_s: float | None = Field(default=None, description="Processor time that it has used.")
    engine: EngineRef


class ContainersQuery(PageQuery):
    """Which containers."""

    state: ContainerState | None = None
    function_id: FunctionRef | None = None
    environment: Name | None = Field(default=None, description="For `app:function`.")


def _shown(view: ContainerView) -> Container:
    record = view.record
    return Container(
        container_id=record.id,
        function_id=record.function_id,
        function=view.place.address,
        environment=view.place.environment,
        revision=record.revision,
        parameters=json.loads(record.parameters_json) if record.parameters_json is not None else None,
        state=ContainerState(record.state),
        created_at=rfc3339(record.created_at),
        ready_at=rfc3339(record.ready_at) if record.ready_at is not None else None,
        ended_at=rfc3339(record.ended_at) if record.ended_at is not None else None,
        end_reason=record.end_reason,
        exit_code=record.exit_code,
        signal=record.signal,
        running_inputs=list(view.running),
        memory_mib=view.rss_mib,
        cpu_s=view.cpu_s,
        engine=EngineRef(name=record.engine, ref=record.engine_ref),
    )


async def _list(ctx: Context[ContainersQuery, None]) -> web.StreamResponse:
    query = ctx.query
    key = cursor_key("containers", query.cursor, str)
    function_id = await function_id_of(ctx, query.function_id, query.environment) if query.function_id else None
    found = await ctx.services.containers.find(
        ctx.principal,
        state=query.state,
        function_id=function_id,
        before=key,
        limit=query.limit + 1,
    )
    shown = found[: query.limit]
    following = cursor("containers", shown[-1].record.id) if len(found) > len(shown) else None
    return page([_shown(view) for view in shown], following)


async def _get(ctx: Context[None, None]) -> web.StreamResponse:
    view = await ctx.services.containers.get(ctx.principal, ctx.path["container_id"])
    return json_answer(200, _shown(view))


async def _stop(ctx: Context[None, None]) -> web.StreamResponse:
    await ctx.services.containers.stop(ctx.principal, ctx.path["container_id"])
    return nothing()


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/containers",
        operation_id="listContainers",
        tag=_TAG,
        summary="List containers",
        description="Containers that the token can see, newest first, ended ones too.",
        role=Role.READ,
        handler=_list,
        query=ContainersQuery,
        answers=(Answer(200, "A page of containers.", PageOf(Container)),),
        problems=(404,),
    ),
    Operation(
        method="GET",
        path="/v1/containers/{container_id}",
        operation_id="getContainer",
        tag=_TAG,
        summary="Look at a container",
        role=Role.READ,
        handler=_get,
        answers=(Answer(200, "The container.", Container),),
    ),
    Operation(
        method="DELETE",
        path="/v1/containers/{container_id}",
        operation_id="stopContainer",
        tag=_TAG,
        summary="Stop a container",
        description=(
            "It takes nothing new, has 30 s to finish what it runs, and ends; what it had not finished runs elsewhere. "
            "The autoscaler may start another one."
        ),
        role=Role.DEPLOY,
        handler=_stop,
        answers=(Answer(204, "It is ending, or has ended."),),
    ),
)
"""Rows of the operation table."""
